import asyncio
from typing import TYPE_CHECKING

import pytest

from diagonal_data.candidates.page import MAX_PAGE_BYTES
from diagonal_data.candidates.site import (
    LONGEST_PAGE_BYTES,
    CrawledPage,
    crawl,
    get_pages,
    parse_content_type,
    visitable,
)
from diagonal_data.fetch import Fetcher
from diagonal_data.fetch_config import FetchConfig
from diagonal_infra.errors import UserError

if TYPE_CHECKING:
    from tests.hostile_server import HostileServer

CONFIG = FetchConfig(timeout_seconds=10.0)


def pages(server: "HostileServer", *seeds: str, max_pages: int = 100) -> list[CrawledPage]:
    allow_hosts = (server.host,)
    return list(crawl(seeds or (server.url("/"),), CONFIG, allow_hosts, max_pages=max_pages))


def paths(server: "HostileServer", found: list[CrawledPage]) -> list[str]:
    return [page.url.removeprefix(server.url("")) for page in found]


def test_pages_come_by_depth_and_then_by_discovery(server: "HostileServer") -> None:
    server.put_page("/", '<a href="/b">b</a><a href="/a">a</a><a href="/">home</a>')
    server.put_page("/b", '<a href="/d">d</a><a href="/a#part">a</a>')
    server.put_page("/a", '<a href="/c">c</a><a href="/d">d</a>')
    for path in ("/c", "/d"):
        server.put_page(path, "end")
    assert paths(server, pages(server)) == ["/", "/b", "/a", "/d", "/c"]


def test_max_pages_counts_failed_ones_too(server: "HostileServer") -> None:
    server.put_page("/", '<a href="/lost">l</a><a href="/a">a</a><a href="/b">b</a>')
    server.put_page("/a", "end")
    found = pages(server, max_pages=3)
    assert [page.outcome for page in found] == ["read", "not_found", "read"]


def test_a_pair_becomes_a_candidate_with_all_that_is_known(server: "HostileServer") -> None:
    url = server.put_page(
        "/p",
        '<link rel=license href="/by">'
        '<img src="i.png" width=8 height=9 alt=" a &lt;red&gt;\n fox ">'
        '<img src="j.png">',
    )
    (page,) = pages(server, url)
    (candidate,) = page.candidates
    assert (candidate.url, candidate.page_url) == (server.url("/i.png"), url)
    assert (candidate.caption, candidate.caption_raw) == ("a <red> fox", " a <red>\n fox ")
    assert (candidate.source, candidate.licence) == ("alt", server.url("/by"))
    assert (candidate.width_hint, candidate.height_hint) == (8, 9)
    assert page.empty_captions == 1


def test_links_of_a_redirected_page_start_from_where_it_is(server: "HostileServer") -> None:
    server.put("/", b"", "Location: /deep/er/", status="302 Found")
    server.put_page("/deep/er/", '<a href="next">n</a>')
    server.put_page("/deep/er/next", "end")
    assert paths(server, pages(server)) == ["/deep/er/", "/deep/er/next"]


def test_other_hosts_are_not_visited(server: "HostileServer") -> None:
    server.put_page("/", '<a href="http://other.test/">o</a><a href="/out">x</a>')
    server.put("/out", b"", "Location: http://other.test/", status="302 Found")
    assert [page.outcome for page in pages(server)] == ["read", "address_refused"]


@pytest.mark.parametrize(
    ("content_type", "outcome"),
    [("text/plain", "not_html"), ("image/png", "not_html"), ("TEXT/HTML; charset=utf-8", "read")],
)
def test_only_html_is_read(server: "HostileServer", content_type: str, outcome: str) -> None:
    server.put("/", b"<img src=a alt=x>", f"Content-Type: {content_type}")
    (page,) = pages(server)
    assert (page.outcome, len(page.candidates)) == (outcome, outcome == "read")


@pytest.mark.parametrize(
    ("head", "header"),
    [('<meta name=robots content="noai">', "X-A: b"), ("", "X-Robots-Tag: noai")],
)
def test_a_page_that_opts_out_gives_nothing(
    server: "HostileServer", head: str, header: str
) -> None:
    server.put_page("/", f"{head}<img src=a alt=x>", header)
    (page,) = pages(server)
    assert (page.outcome, page.candidates) == ("opted_out", [])


def test_robots_txt_keeps_the_crawl_out(server: "HostileServer") -> None:
    server.put("/robots.txt", b"User-agent: *\nDisallow: /no")
    server.put_page("/", '<a href="/no">n</a>')
    assert [page.outcome for page in pages(server)] == ["read", "robots_disallowed"]
    assert "/no" not in server.requests


def test_of_a_long_page_the_beginning_is_read(server: "HostileServer") -> None:
    server.put_page("/", '<a href="/long">l</a><a href="/endless">e</a>')
    server.put_page("/long", '<img src=a alt="a fox">' + " " * MAX_PAGE_BYTES)
    server.put_page("/endless", '<img src=a alt="a fox">' + " " * LONGEST_PAGE_BYTES)
    found = pages(server)
    assert [page.outcome for page in found] == ["read", "read", "body_too_large"]
    assert [len(page.candidates) for page in found] == [0, 1, 0]


def test_no_more_is_held_of_a_page_than_is_read(server: "HostileServer") -> None:
    urls = [server.put_page("/long", " " * (MAX_PAGE_BYTES + 1)), server.put_page("/", "short")]

    async def sizes() -> list[int]:
        async with Fetcher(CONFIG, (server.host,)) as fetcher:
            return [len(page.body or b"") for page in await get_pages(fetcher, urls)]

    assert asyncio.run(sizes()) == [MAX_PAGE_BYTES, 5]


def test_the_charset_of_the_header_is_used(server: "HostileServer") -> None:
    server.put("/", "<img src=a alt=grün>".encode("latin-1"), "Content-Type: text/html;charset=l1")
    assert pages(server)[0].candidates[0].caption == "grün"


def test_a_crawl_that_is_abandoned_closes_its_session(server: "HostileServer") -> None:
    server.put_page("/", '<a href="/a">a</a>')
    found = crawl([server.url("/")], CONFIG, (server.host,), max_pages=9)
    assert next(found).outcome == "read"
    found.close()  # pyright: ignore[reportAttributeAccessIssue]  # it is a generator
    assert "/a" not in server.requests


def test_a_bad_seed_is_the_users_mistake_before_anything_is_fetched() -> None:
    with pytest.raises(UserError, match=r"--seeds 'example\.org'"):
        crawl(["example.org"], CONFIG, max_pages=1)


def test_links_to_files_and_foreign_hosts_are_left_out() -> None:
    links = [
        "http://X.test/a#b",
        "http://x.test/i.JPG",
        "http://y.test/",
        "http://z.test:81/a.pdf?",
    ]
    assert visitable(links, ("x.test", "z.test:80")) == ["http://x.test/a"]


@pytest.mark.parametrize(
    ("header", "parsed"),
    [
        ('Text/HTML ; x=y; Charset="UTF-8"', ("text/html", "UTF-8")),
        ("text/html;charset=l1;x", ("text/html", "l1")),
        ("text/html; charset=", ("text/html", None)),
        ("", ("", None)),
    ],
)
def test_content_types(header: str, parsed: tuple[str, str | None]) -> None:
    assert parse_content_type(header) == parsed
