"""Patience and restraint: retries, pauses, deadlines, opt-outs, hosts that are left alone."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.data.fetching import LOOPBACK, PATIENT, QUICK, FakeDns, fetch, fetch_urls

from diagonal_data import http_client
from diagonal_data.block_lists import load_block_lists
from diagonal_data.fetch import Fetcher
from diagonal_data.fetch_config import BlockConfig
from diagonal_data.response import Response
from diagonal_data.schema import Reason
from diagonal_data.site_rules import WebCache

if TYPE_CHECKING:
    from tests.hostile_server import HostileServer


RETRYING = replace(PATIENT, retries=2, retry_seconds=0.0)


@pytest.mark.parametrize("status", ["429 Slow", "500 Oops", "503 Busy"])
def test_a_passing_trouble_is_tried_again(server: "HostileServer", status: str) -> None:
    server.routes["/a"] = server.in_turn((b"", status), (b"x", "200 OK"))
    response = fetch(server.url("/a"), RETRYING)
    assert (response.body, response.attempts) == (b"x", 2)


def test_attempts_are_bounded(server: "HostileServer") -> None:
    response = fetch(server.put("/a", status="500 Oops"), RETRYING)
    assert (response.reason, response.attempts) == (Reason.HTTP_SERVER_ERROR, 3)
    assert server.requests.count("/a") == 3


@pytest.mark.parametrize("status", ["404 Not Found", "403 No", "302 Found"])
def test_a_lasting_trouble_is_not_tried_again(server: "HostileServer", status: str) -> None:
    fetch(server.put("/a", status=status), RETRYING)
    assert server.requests.count("/a") == 1


def test_a_host_that_asks_to_wait_is_left_alone_so_long(server: "HostileServer") -> None:
    server.routes["/a"] = server.in_turn((b"", "429 Slow\r\nRetry-After: 1"), (b"x", "200 OK"))
    server.put("/b", b"x")
    times: list[float] = []

    async def get(fetcher: Fetcher, path: str) -> Response:
        response = await fetcher.get(server.url(path))
        times.append(asyncio.get_running_loop().time())
        return response

    async def both() -> list[Response]:
        async with Fetcher(replace(RETRYING, max_per_host=1), LOOPBACK) as fetcher:
            times.append(asyncio.get_running_loop().time())
            return list(await asyncio.gather(get(fetcher, "/a"), get(fetcher, "/b")))

    responses = asyncio.run(both())
    assert [response.body for response in responses] == [b"x", b"x"]
    assert min(times[1:]) - times[0] >= 0.99, "the other URL of the host had to wait too"


@pytest.mark.parametrize("status", ["502 Bad", "503 Busy", "429 Slow"])
def test_a_pause_is_kept_whatever_status_asks_for_it(server: "HostileServer", status: str) -> None:
    server.routes["/a"] = server.in_turn((b"", f"{status}\r\nRetry-After: 1"), (b"x", "200 OK"))

    async def get() -> float:
        loop = asyncio.get_running_loop()
        async with Fetcher(RETRYING, LOOPBACK) as fetcher:
            started = loop.time()
            assert (await fetcher.get(server.url("/a"))).body == b"x"
            return loop.time() - started

    assert asyncio.run(get()) >= 0.99


def test_a_host_that_asks_to_wait_too_long_is_given_up(server: "HostileServer") -> None:
    url = server.put("/a", b"", "Retry-After: 3600", status="503 Busy")
    response = fetch(url, RETRYING)
    assert (response.reason, response.attempts) == (Reason.HTTP_SERVER_ERROR, 1)


def test_an_answer_that_never_begins_ends_at_its_own_deadline(server: "HostileServer") -> None:
    async def never(_: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    server.routes["/a"] = never
    config = replace(PATIENT, first_byte_timeout_seconds=0.2)
    response = fetch(server.url("/a"), config)
    assert response.reason is Reason.TIMED_OUT
    assert response.fetch_ms < 3_000


def test_a_body_below_the_least_rate_is_too_slow(
    server: "HostileServer", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "RATE_GRACE_SECONDS", 0.2)
    response = fetch(server.url("/drip"), replace(PATIENT, min_bytes_per_second=1_000))
    assert (response.reason, response.http_status) == (Reason.TOO_SLOW, 200)
    assert fetch(server.url("/drip"), replace(QUICK, min_bytes_per_second=1)).reason is (
        Reason.TIMED_OUT
    )


def test_a_declared_length_above_the_cap_is_not_read(server: "HostileServer") -> None:
    url = server.put("/a", b"x" * 2_000, length=10 * 2**30)
    response = fetch(url)
    assert (response.reason, response.body) == (Reason.BODY_TOO_LARGE, None)


@pytest.mark.parametrize("header", ["tdm-reservation: 1", "Content-Usage: train-ai=n"])
def test_every_kind_of_opt_out_counts_and_is_kept(server: "HostileServer", header: str) -> None:
    url = server.put("/a", b"x", header)
    response = fetch(url)
    assert (response.reason, response.detail) == (Reason.OPTED_OUT, header)
    indulgent = fetch(url, replace(PATIENT, respect_opt_out=False))
    assert indulgent.body == b"x"
    assert (indulgent.tdm_reservation or indulgent.content_usage) == header.split(": ")[1]


def test_site_files_can_opt_out_for_a_path(server: "HostileServer") -> None:
    config = replace(PATIENT, respect_tdmrep=True)
    server.put("/robots.txt", b"User-agent: *\nContent-Usage: /art train-ai=n\n")
    tdmrep = b'[{"location": "/photos", "tdm-reservation": 1}]'
    server.put("/.well-known/tdmrep.json", tdmrep)
    urls = [server.put(path, b"x") for path in ("/art/a", "/photos/a", "/free/a")]
    art, photos, free = fetch_urls(urls, config)
    assert (art.reason, art.content_usage) == (Reason.OPTED_OUT, "train-ai=n")
    assert (photos.reason, photos.tdm_reservation) == (Reason.OPTED_OUT, "1")
    assert (free.reason, free.body) == (None, b"x")
    assert server.requests.count("/.well-known/tdmrep.json") == 1
    assert "/art/a" not in server.requests


def test_a_host_that_opts_out_again_and_again_is_not_asked_any_more(
    server: "HostileServer",
) -> None:
    config = replace(PATIENT, host_opt_outs=3, max_per_host=1)
    server.put("/a", b"x", "X-Robots-Tag: noai")

    async def get_in_turn() -> list[Response]:
        async with Fetcher(config, LOOPBACK) as fetcher:
            responses = [await fetcher.get(server.url(f"/a?{i}")) for i in range(3)]
            while responses[-1].reason is Reason.OPTED_OUT:
                responses.append(await fetcher.get(server.url("/a?again")))
            return responses

    responses = asyncio.run(get_in_turn())
    assert responses[-1].reason is Reason.HOST_OPTED_OUT
    asked = len(server.requests)
    assert responses[-1].attempts == 0
    assert asked == sum(response.attempts for response in responses) + 1, "and robots.txt"


def test_a_host_that_fails_again_and_again_is_left_alone(server: "HostileServer") -> None:
    config = replace(PATIENT, host_failures=3, max_per_host=1, respect_robots=False)
    server.put("/a", status="500 Oops")

    async def get_in_turn() -> list[Response]:
        async with Fetcher(config, LOOPBACK) as fetcher:
            responses = [await fetcher.get(server.url("/a"))]
            while responses[-1].reason is Reason.HTTP_SERVER_ERROR:
                responses.append(await fetcher.get(server.url("/a")))
            return responses

    last = asyncio.run(get_in_turn())[-1]
    assert (last.reason, last.attempts) == (Reason.HOST_UNAVAILABLE, 0)


def test_a_host_that_limits_us_again_and_again_is_left_alone(server: "HostileServer") -> None:
    config = replace(PATIENT, host_failures=3, respect_robots=False)
    server.put("/a", status="429 Slow")

    async def get_in_turn() -> Reason | None:
        async with Fetcher(config, LOOPBACK) as fetcher:
            reason: Reason | None = Reason.RATE_LIMITED
            while reason is Reason.RATE_LIMITED:
                reason = (await fetcher.get(server.url("/a"))).reason
            return reason

    assert asyncio.run(get_in_turn()) is Reason.HOST_UNAVAILABLE


def test_the_site_file_of_tdmrep_is_not_asked_for_where_robots_may_not_go(
    server: "HostileServer",
) -> None:
    server.put("/robots.txt", b"User-agent: *\nDisallow: /")
    response = fetch(server.put("/a", b"x"), replace(PATIENT, respect_tdmrep=True))
    assert response.reason is Reason.ROBOTS_DISALLOWED
    assert server.requests == ["/robots.txt"]


def test_headers_that_are_no_utf8_are_kept_readable_and_short(server: "HostileServer") -> None:
    url = server.put("/a", b"x", "X-Robots-Tag: caf\xe9", *("X-Robots-Tag: " + "y" * 6_000,) * 3)
    response = fetch(url)
    assert response.body == b"x"
    assert response.x_robots_tag is not None
    assert len(response.x_robots_tag.encode()) < 600


def test_the_bytes_of_a_redirect_are_asked_for_as_they_are(server: "HostileServer") -> None:
    server.put("/caf%E9.jpg", b"latin")
    assert fetch(server.put("/a", b"", "Location: /caf\xe9.jpg", status="302 Found")).body == (
        b"latin"
    )


def test_a_server_without_tls_is_a_tls_failure(server: "HostileServer") -> None:
    response = fetch(f"https://{server.host}/a", replace(PATIENT, respect_robots=False))
    assert response.reason is Reason.TLS_FAILED


def test_without_a_contact_public_hosts_are_not_asked(server: "HostileServer") -> None:
    nobody = replace(PATIENT, contact="")
    assert fetch(server.put("/a", b"x"), nobody).body == b"x"
    assert fetch("http://93.184.216.34/a", nobody).reason is Reason.CONTACT_MISSING

    async def get() -> Response:
        dns = FakeDns({"public.test": "93.184.216.34"})
        async with Fetcher(nobody, LOOPBACK, dns=dns) as fetcher:
            return await fetcher.get("http://public.test/a")

    assert asyncio.run(get()).reason is Reason.CONTACT_MISSING


def test_block_lists_are_asked_on_every_hop(server: "HostileServer", tmp_path: Path) -> None:
    listed = server.put("/bad", b"x")
    url = server.put("/a", b"", "Location: /bad", status="302 Found")
    names = tmp_path / "urls.txt"
    names.write_text(f"{listed}\n")
    hosts = tmp_path / "hosts.txt"
    hosts.write_text("127.0.0.1\n")

    async def get(block: BlockConfig) -> Response:
        async with Fetcher(PATIENT, LOOPBACK, block=load_block_lists(block)) as fetcher:
            return await fetcher.get(url)

    assert asyncio.run(get(BlockConfig(urls=str(names)))).reason is Reason.BLOCKED_URL
    assert "/bad" not in server.requests
    asked = len(server.requests)
    assert asyncio.run(get(BlockConfig(hosts=str(hosts)))).reason is Reason.BLOCKED_HOST
    assert len(server.requests) == asked


def test_site_rules_and_names_outlive_a_fetcher(server: "HostileServer") -> None:
    url, cache = server.put("/a", b"x"), WebCache()

    async def get() -> Response:
        async with Fetcher(PATIENT, LOOPBACK, cache=cache) as fetcher:
            return await fetcher.get(url)

    for _ in range(3):
        assert asyncio.run(get()).body == b"x"
    assert server.requests.count("/robots.txt") == 1


def test_large_bodies_wait_for_room_and_all_arrive(
    server: "HostileServer", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "SMALL_BODY_BYTES", 1_000)
    monkeypatch.setattr(http_client, "LARGE_BODIES_BYTES", 250_000)
    config = replace(PATIENT, max_bytes=200_000, max_per_host=16)
    urls = [server.put(f"/{i}", bytes([i]) * 100_000) for i in range(12)]
    held, most = 0, 0

    async def use(fetcher: Fetcher, url: str) -> int:
        nonlocal held, most
        async with fetcher.open(url) as response:
            held += len(response.body or b"")
            most = max(most, held)
            await asyncio.sleep(0.001)
            held -= len(response.body or b"")
            return len(response.body or b"")

    async def use_all() -> list[int]:
        async with Fetcher(config, LOOPBACK) as fetcher:
            return list(await asyncio.gather(*(use(fetcher, url) for url in urls)))

    assert asyncio.run(use_all()) == [100_000] * 12
    assert most <= 250_000
