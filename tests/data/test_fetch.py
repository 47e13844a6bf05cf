import asyncio
import gzip
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.data.fetching import LOOPBACK, PATIENT, QUICK, fetch, fetch_by_name, fetch_urls

from diagonal_data.fetch import Fetcher
from diagonal_data.response import Response
from diagonal_data.schema import Reason

if TYPE_CHECKING:
    from tests.hostile_server import HostileServer


def test_a_good_answer_is_a_body_with_its_headers(server: "HostileServer") -> None:
    url = server.put("/a", b"hello", "Content-Type: image/png", "X-Two: 1", "x-two: 2")
    response = fetch(url)
    assert (response.url, response.final_url, response.http_status) == (url, url, 200)
    assert (response.body, response.reason, response.robots) == (b"hello", None, "allowed")
    assert response.headers["content-type"] == "image/png"
    assert response.headers["x-two"] == "1, 2"
    assert "User-Agent: diagonal/0.1 (+https://example.org/bot)\r\n" in server.heads["/a"]


def test_a_packed_body_is_bounded_by_its_size_unpacked(server: "HostileServer") -> None:
    encoding = "Content-Encoding: gzip"
    assert fetch(server.put("/a", gzip.compress(b"hello"), encoding)).body == b"hello"
    bomb = server.put("/bomb", gzip.compress(bytes(10_000_000)), encoding)
    assert fetch(bomb, replace(PATIENT, max_bytes=100_000)).reason is Reason.BODY_TOO_LARGE
    broken = server.put("/broken", b"no gzip", encoding)
    assert fetch(broken).reason is Reason.BODY_INCOMPLETE


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("404 Not Found", Reason.NOT_FOUND),
        ("410 Gone", Reason.NOT_FOUND),
        ("401 Who", Reason.FORBIDDEN),
        ("403 No", Reason.FORBIDDEN),
        ("451 Legal", Reason.FORBIDDEN),
        ("429 Too Many Requests", Reason.RATE_LIMITED),
        ("418 Teapot", Reason.HTTP_CLIENT_ERROR),
        ("500 Oops", Reason.HTTP_SERVER_ERROR),
        ("503 Busy", Reason.HTTP_SERVER_ERROR),
        ("302 Found", Reason.HTTP_SERVER_ERROR),
    ],
)
def test_statuses_without_a_body_for_us(
    server: "HostileServer", status: str, reason: Reason
) -> None:
    response = fetch(server.put("/a", b"sorry", status=status))
    assert (response.reason, response.http_status) == (reason, int(status[:3]))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        *((url, Reason.BAD_URL) for url in ("", "no url", "http://", "http://[", "http:///a")),
        *((url, Reason.BAD_URL) for url in ("http://x.test:0/", "http://x.test:99999/")),
        ("ftp://x.test/a", Reason.SCHEME_REFUSED),
        ("file:///etc/passwd", Reason.SCHEME_REFUSED),
        ("data:image/png;base64,AA", Reason.SCHEME_REFUSED),
        ("http://me:secret@x.test/", Reason.URL_HAS_CREDENTIALS),
        ("http://x.test/" + "a" * 60_000, Reason.URL_TOO_LONG),
    ],
)
def test_what_is_no_url_for_us_is_not_asked_for(url: str, reason: Reason) -> None:
    response = fetch(url)
    assert (response.reason, response.attempts) == (reason, 0)
    assert "secret" not in (response.detail or "")


@pytest.mark.parametrize(
    ("headers", "body", "length", "reason"),
    [
        ((), b"short", 100, Reason.BODY_INCOMPLETE),
        ((), b"x" * 1_001, None, Reason.BODY_TOO_LARGE),
        ((), b"x" * 1_000, None, None),
        ((), b"", None, Reason.EMPTY_BODY),
        (("X-Robots-Tag: noai",), b"x", None, Reason.OPTED_OUT),
        (("X-Robots-Tag: googlebot: all", "X-Robots-Tag: none"), b"x", None, Reason.OPTED_OUT),
        (("X-Robots-Tag: otherbot: noai",), b"x", None, None),
        (("X-Huge: " + "x" * 100_000,), b"x", None, Reason.CONNECT_FAILED),
    ],
)
def test_bad_bodies_and_headers(
    server: "HostileServer",
    headers: tuple[str, ...],
    body: bytes,
    length: int | None,
    reason: Reason | None,
) -> None:
    assert fetch(server.put("/a", body, *headers, length=length)).reason is reason


def test_a_chunked_body_that_breaks_off_is_incomplete(server: "HostileServer") -> None:
    server.routes["/a"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    assert fetch(server.url("/a")).reason is Reason.BODY_INCOMPLETE


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 xyz\r\n\r\n"])
def test_no_http_answer_or_none_is_a_failed_connection(
    server: "HostileServer", answer: bytes
) -> None:
    server.routes["/a"] = answer
    assert fetch(server.url("/a")).reason is Reason.CONNECT_FAILED


def test_a_closed_port_is_a_failed_connection_and_not_a_robots_verdict() -> None:
    with socket.socket() as taken:
        # Bound but not listening: nobody answers here, and nobody else can take the port.
        taken.bind(("127.0.0.1", 0))
        response = fetch(f"http://127.0.0.1:{taken.getsockname()[1]}/a")
    assert (response.reason, response.robots) == (Reason.CONNECT_FAILED, "disallowed")
    assert response.detail
    assert response.detail.startswith("robots.txt: connect_failed")


def test_a_dripping_body_ends_at_the_total_deadline(server: "HostileServer") -> None:
    response = fetch(server.url("/drip"), QUICK)
    assert response.reason is Reason.TIMED_OUT
    assert 250 <= response.fetch_ms < 3_000


def test_an_opt_out_can_be_passed_over(server: "HostileServer") -> None:
    url = server.put("/a", b"x", "X-Robots-Tag: noai")
    assert fetch(url, replace(PATIENT, respect_opt_out=False)).body == b"x"


def test_redirects_are_followed_to_the_last_url(server: "HostileServer") -> None:
    server.put("/b/end", b"here")
    server.put("/b/next", b"", "Location: end", status="301 Moved")
    response = fetch(server.put("/a", b"", "Location: /b/next", status="302 Found"))
    assert (response.final_url, response.body) == (server.url("/b/end"), b"here")


def test_a_redirect_loop_ends(server: "HostileServer") -> None:
    response = fetch(server.put("/a", b"", "Location: /a", status="302 Found"))
    assert (response.reason, response.http_status) == (Reason.TOO_MANY_REDIRECTS, 302)
    assert server.requests.count("/a") == PATIENT.max_redirects + 1


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://10.0.0.5/", Reason.ADDRESS_REFUSED),
        ("http://169.254.169.254/latest/meta-data/", Reason.ADDRESS_REFUSED),
        ("http://127.0.0.2/", Reason.ADDRESS_REFUSED),
        ("http://[::1]/", Reason.ADDRESS_REFUSED),
        ("http://2130706433/", Reason.ADDRESS_REFUSED),
        ("http://0x7f.1/", Reason.ADDRESS_REFUSED),
        ("//localhost/", Reason.ADDRESS_REFUSED),
        ("file:///etc/passwd", Reason.SCHEME_REFUSED),
        ("gopher://127.0.0.1/", Reason.SCHEME_REFUSED),
        ("http://me:you@127.0.0.1/", Reason.URL_HAS_CREDENTIALS),
        ("http://[", Reason.BAD_URL),
        ("/private/a", Reason.ROBOTS_DISALLOWED),
    ],
)
def test_every_hop_is_checked_like_a_first_request(
    server: "HostileServer", location: str, reason: Reason
) -> None:
    server.put("/robots.txt", b"User-agent: *\nDisallow: /private/")
    response = fetch(server.put("/a", b"", f"Location: {location}", status="302 Found"))
    assert response.reason is reason
    assert server.requests == ["/robots.txt", "/a"]


def test_redirects_do_not_renew_the_deadline(server: "HostileServer") -> None:
    url = server.put("/a", b"", "Location: /drip", status="302 Found")
    assert fetch(url, QUICK).reason is Reason.TIMED_OUT


def test_a_name_is_refused_by_the_address_that_would_be_connected_to(
    server: "HostileServer",
) -> None:
    url = server.put("/a", b"x").replace("127.0.0.1", "pictures.test")
    names = {"pictures.test": "127.0.0.1"}
    assert fetch_by_name(url, names).reason is Reason.ADDRESS_REFUSED
    assert server.requests == []
    assert fetch_by_name(url, names, "pictures.test").body == b"x"


def test_an_unknown_name_is_a_dns_failure() -> None:
    assert fetch_by_name("http://nowhere.test/", {}).reason is Reason.DNS_FAILED


def test_only_hosts_keeps_redirects_from_leaving(server: "HostileServer") -> None:
    url = server.put("/a", b"", "Location: http://other.test/", status="302 Found")

    async def get() -> Response:
        async with Fetcher(PATIENT, LOOPBACK, only_hosts=LOOPBACK) as fetcher:
            return await fetcher.get(url)

    assert asyncio.run(get()).detail == "other.test is not among the hosts to visit"


def test_robots_txt_is_asked_once_per_origin_and_obeyed(server: "HostileServer") -> None:
    server.put("/robots.txt", b"User-agent: diagonal\nDisallow: /no")
    urls = [server.put("/yes", b"x"), server.put("/no", b"x"), server.url("/yes?2")]
    responses = fetch_urls(urls, PATIENT)
    assert [r.reason for r in responses] == [None, Reason.ROBOTS_DISALLOWED, None]
    assert [r.robots for r in responses] == ["allowed", "disallowed", "allowed"]
    assert server.requests.count("/robots.txt") == 1
    assert "/no" not in server.requests


@pytest.mark.parametrize(
    ("status", "reason"),
    [("404 Not Found", None), ("403 No", None), ("503 Busy", Reason.ROBOTS_UNREACHABLE)],
)
def test_a_missing_robots_txt_allows_and_a_failing_one_disallows(
    server: "HostileServer", status: str, reason: Reason | None
) -> None:
    server.put("/robots.txt", b"User-agent: *\nDisallow: /", status=status)
    assert fetch(server.put("/a", b"x")).reason is reason


def test_robots_txt_is_read_up_to_its_cap_only(server: "HostileServer") -> None:
    rules = b"User-agent: *\nDisallow: /a\n" + b"#" * 600_000 + b"\nDisallow: /b\n"
    server.put("/robots.txt", rules)
    urls = [server.put("/a", b"x"), server.put("/b", b"x")]
    reasons = [response.reason for response in fetch_urls(urls, PATIENT)]
    assert reasons == [Reason.ROBOTS_DISALLOWED, None]


def test_robots_txt_may_be_redirected(server: "HostileServer") -> None:
    server.put("/robots.txt", b"", "Location: /r", status="301 Moved")
    server.put("/r", b"User-agent: *\nDisallow: /a")
    assert fetch(server.put("/a", b"x")).reason is Reason.ROBOTS_DISALLOWED


def test_without_robots_nothing_is_asked(server: "HostileServer") -> None:
    url = server.put("/a", b"x")
    assert fetch(url, replace(PATIENT, respect_robots=False)).robots == "not_asked"
    assert server.requests == ["/a"]


@pytest.mark.parametrize(("in_flight", "per_host"), [(64, 3), (2, 8)])
def test_requests_in_flight_are_bounded(
    server: "HostileServer", in_flight: int, per_host: int
) -> None:
    config = replace(PATIENT, max_in_flight=in_flight, max_per_host=per_host)
    fetch_urls([server.url(f"/slow?{i}") for i in range(12)], config)
    assert server.most_at_a_time == min(in_flight, per_host)


def test_standing_in_line_does_not_use_up_the_deadline(server: "HostileServer") -> None:
    # One at a time, 40 answers take longer than the deadline of each.
    config = replace(PATIENT, timeout_seconds=0.7, max_per_host=1)
    responses = fetch_urls([server.url(f"/slow?{i}") for i in range(40)], config)
    assert {response.reason for response in responses} == {None}


def test_proxies_of_the_environment_are_not_used(
    server: "HostileServer", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")
    assert fetch(server.put("/a", b"x")).body == b"x"
