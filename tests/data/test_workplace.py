"""Units of one process at the same time: they overlap, and share what the process may use."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import pytest
from tests.hostile_server import HostileServer, answer, slow

from diagonal_data import workplace
from diagonal_data.config import ShardsConfig
from diagonal_data.engine_native import fetch_and_decode
from diagonal_data.fetch_config import FetchConfig
from diagonal_data.outcome import Outcome
from diagonal_data.run_ledger import RunLedger
from diagonal_data.schema import Reason, candidate_for
from diagonal_infra.shared import Here, Shared


@dataclass
class Gate:
    """A route that answers once it is opened."""

    body: bytes
    asked: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    async def answer(self, writer: asyncio.StreamWriter) -> None:
        self.asked.set()
        await asyncio.to_thread(self.opened.wait)
        writer.write(self.body)
        await writer.drain()


@pytest.fixture
def gate(server: HostileServer, make_jpeg) -> Iterator[Gate]:
    """At /gate.jpg."""
    gate = Gate(answer(make_jpeg()))
    server.routes["/gate.jpg"] = gate.answer
    yield gate
    gate.opened.set()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def config_of(server: HostileServer, **fetch: int) -> ShardsConfig:
    return ShardsConfig(
        candidates="",
        dataset="",
        image_size=32,
        allow_hosts=(server.host,),
        fetch=FetchConfig(**{"max_per_host": 32, **fetch}),  # pyright: ignore[reportArgumentType]  # keywords of one dataclass
    )


def fetched(config: ShardsConfig, ledger: Shared, urls: list[str]) -> list[Outcome]:
    """The outcomes of a unit of these URLs."""
    found: dict[int, Outcome] = {}
    candidates = [candidate_for(url, "cat") for url in urls]
    fetch_and_decode(candidates, config, ledger, found.__setitem__)
    return [found[i] for i in range(len(urls))]


def test_a_unit_that_waits_for_a_server_does_not_keep_the_next_from_finishing(
    server: HostileServer, gate: Gate, pool: ThreadPoolExecutor, make_jpeg
) -> None:
    config = config_of(server)
    unit = partial(fetched, config, Here(RunLedger(config.fetch)))
    waiting = pool.submit(unit, [server.url("/gate.jpg")])
    assert gate.asked.wait(30)
    (outcome,) = unit([server.put("/a.jpg", make_jpeg())])
    assert outcome.image is not None
    assert not waiting.done()
    gate.opened.set()
    assert waiting.result()[0].image is not None
    # Whoever comes into a workplace that is open finds what is known of the site.
    assert server.requests.count("/robots.txt") == 1


def test_units_of_a_process_share_its_requests_in_flight(
    server: HostileServer, pool: ThreadPoolExecutor
) -> None:
    config = config_of(server, max_in_flight=3)
    server.routes |= {f"/slow/{i}": slow for i in range(40)}
    ledger = Here(RunLedger(config.fetch))
    urls = [server.url(f"/slow/{i}") for i in range(40)]
    units = [pool.submit(fetched, config, ledger, part) for part in (urls[:20], urls[20:])]
    for unit in units:
        assert [outcome.reason for outcome in unit.result()] == [Reason.NOT_AN_IMAGE] * 20
    assert server.most_at_a_time == 3


def test_a_unit_that_fails_leaves_the_one_beside_it_alone(
    server: HostileServer, gate: Gate, pool: ThreadPoolExecutor, make_jpeg
) -> None:
    config = config_of(server)
    ledger = Here(RunLedger(config.fetch))
    waiting = pool.submit(fetched, config, ledger, [server.url("/gate.jpg")])
    assert gate.asked.wait(30)

    def disk_is_full(_: int, __: Outcome) -> None:
        raise OSError(28, "No space left on device")

    candidates = [candidate_for(server.put("/a.jpg", make_jpeg()), "cat")]
    with pytest.RaisesGroup(OSError):
        fetch_and_decode(candidates, config, ledger, disk_is_full)
    gate.opened.set()
    assert waiting.result()[0].image is not None


def test_a_workplace_is_of_one_run_and_closed_by_the_last_that_leaves(
    server: HostileServer,
) -> None:
    config = config_of(server)
    ledger, other = (Here(RunLedger(config.fetch)) for _ in range(2))
    with workplace.joined(config, ledger) as first:
        with (
            workplace.joined(config, ledger) as second,
            workplace.joined(config, other) as third,
        ):
            assert first is second
            assert first is not third
        assert first.run(asyncio.sleep(0, "still open")) == "still open"
        assert third.loop.is_closed()
    assert first.loop.is_closed()
    with workplace.joined(config, ledger) as again:
        assert again is not first
