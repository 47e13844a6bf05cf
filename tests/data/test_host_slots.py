"""Workers with their slots around one ledger, in one event loop."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from diagonal_data import host_slots
from diagonal_data.fetch_config import FetchConfig
from diagonal_data.host_ledger import HostLedger
from diagonal_data.host_slots import HostClosedError, HostSlots
from diagonal_data.schema import Reason
from diagonal_infra.shared import Here

HOST = "pictures.test"
FAST = FetchConfig(max_per_host=3, max_per_second=0.0)


def run(
    body: Callable[[Here], Coroutine[Any, Any, Any]], config: FetchConfig = FAST
) -> tuple[Any, HostLedger]:
    ledger = HostLedger(config)
    return asyncio.run(body(Here(ledger))), ledger


def test_four_workers_together_keep_the_limit_and_all_get_on() -> None:
    now, most, done = Counter[str](), 0, Counter[str]()

    async def request(slots: HostSlots, worker: str) -> None:
        nonlocal most
        async with slots.slot(HOST):
            now[HOST] += 1
            most = max(most, now[HOST])
            await asyncio.sleep(0.001)
            now[HOST] -= 1
            done[worker] += 1

    async def worker(ledger: Here, name: str) -> None:
        async with HostSlots(ledger, FAST) as slots:
            await asyncio.gather(*(request(slots, name) for _ in range(40)))

    async def body(ledger: Here) -> None:
        await asyncio.gather(*(worker(ledger, f"w{i}") for i in range(4)))

    run(body)
    assert most == 3
    assert done == {f"w{i}": 40 for i in range(4)}


def test_requests_to_a_host_keep_their_distance() -> None:
    config = FetchConfig(max_per_host=2, max_per_second=50.0)
    started: list[float] = []

    async def body(ledger: Here) -> None:
        async def request(slots: HostSlots) -> None:
            async with slots.slot(HOST):
                started.append(asyncio.get_running_loop().time())

        async with HostSlots(ledger, config) as one, HostSlots(ledger, config) as two:
            await asyncio.gather(*(request(slots) for slots in [one, two] * 6))

    run(body, config)
    begun = sorted(started)
    # Any three requests of two slots span an interval of 1/25 s, whoever sent them.
    spans = [later - first for first, later in zip(begun, begun[2:], strict=False)]
    assert min(spans) > 0.039


def test_requests_that_waited_for_a_place_keep_their_distance_too() -> None:
    config = FetchConfig(max_per_host=2, max_per_second=50.0, max_in_flight=1)
    started: list[float] = []

    async def body(ledger: Here) -> None:
        async def request(slots: HostSlots, host: str, seconds: float) -> None:
            async with slots.slot(host):
                if host == HOST:
                    started.append(asyncio.get_running_loop().time())
                await asyncio.sleep(seconds)

        async with HostSlots(ledger, config) as slots:
            blocking = asyncio.create_task(request(slots, "slow.test", 0.3))
            await asyncio.gather(blocking, *(request(slots, HOST, 0.0) for _ in range(6)))

    run(body, config)
    begun = sorted(started)
    spans = [later - first for first, later in zip(begun, begun[2:], strict=False)]
    assert min(spans) > 0.039


def test_leaving_a_ledger_that_is_gone_does_not_lose_the_work() -> None:
    class Gone(Here):
        away = False

        async def call(self, method: str, *arguments: Any) -> Any:
            if self.away:
                raise ConnectionError("away")
            return await super().call(method, *arguments)

    async def body(_: Here) -> str:
        ledger = Gone(HostLedger(FAST))
        async with HostSlots(ledger, FAST) as slots, slots.slot(HOST):
            ledger.away = True
        return "done"

    assert run(body)[0] == "done"


def test_a_closed_host_refuses_those_who_wait_and_those_who_come() -> None:
    config = FetchConfig(max_per_host=1, host_opt_outs=1)

    async def body(ledger: Here) -> list[BaseException]:
        async def request(slots: HostSlots) -> None:
            async with slots.slot(HOST):
                slots.note(HOST, opted_out=True)
                await asyncio.sleep(0)

        async with HostSlots(ledger, config) as slots:
            first = await asyncio.gather(
                *(request(slots) for _ in range(3)), return_exceptions=True
            )
            with pytest.raises(HostClosedError):
                await request(slots)
            return [error for error in first if error is not None]

    errors, _ = run(body, config)
    assert [error.reason for error in errors] == [Reason.HOST_OPTED_OUT] * 2


def test_a_request_that_is_given_up_gives_its_slot_back() -> None:
    config = FetchConfig(max_per_host=1, max_per_second=0.0)

    async def body(ledger: Here) -> str:
        async with HostSlots(ledger, config) as slots:
            async with slots.slot(HOST):
                waiting = [asyncio.create_task(slots.slot(HOST).__aenter__()) for _ in range(2)]
                await asyncio.sleep(0)
                for task in waiting:
                    task.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)
            async with asyncio.timeout(5), slots.slot(HOST):
                return "the only slot"

    assert run(body, config)[0] == "the only slot"


def test_unused_slots_go_back_and_leaving_returns_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_slots, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(host_slots, "SIGN_OF_LIFE_SECONDS", 0.02)
    config = FetchConfig(max_per_host=1, max_per_second=0.0)

    async def body(ledger: Here) -> str:
        async with HostSlots(ledger, config) as idle, HostSlots(ledger, config) as other:
            async with idle.slot(HOST):
                pass
            async with asyncio.timeout(5), other.slot(HOST):
                pass
        async with HostSlots(ledger, config) as later, asyncio.timeout(5), later.slot(HOST):
            return "the only slot"

    assert run(body, config)[0] == "the only slot"


def test_a_ledger_that_does_not_answer_stops_new_requests_until_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host_slots, "SIGN_OF_LIFE_SECONDS", 0.01)

    class Flaky(Here):
        broken = True

        async def call(self, method: str, *arguments: Any) -> Any:
            if self.broken:
                raise ConnectionError("away")
            return await super().call(method, *arguments)

    async def body(_: Here) -> None:
        ledger = Flaky(HostLedger(FAST))
        async with HostSlots(ledger, FAST) as slots:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1), slots.slot(HOST):
                    raise AssertionError("a slot from nowhere")
            ledger.broken = False
            async with asyncio.timeout(5), slots.slot(HOST):
                pass

    run(body)
