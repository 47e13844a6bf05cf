import asyncio
import gzip
import time
from typing import TYPE_CHECKING

import pytest

from diagonal_data.candidates.sitemap import (
    MAX_BYTES,
    MAX_ENTRIES,
    listed_pages,
    read_sitemap,
    sitemaps_in_robots,
)
from diagonal_data.fetch import Fetcher
from diagonal_data.fetch_config import FetchConfig

if TYPE_CHECKING:
    from tests.hostile_server import HostileServer

CONFIG = FetchConfig(timeout_seconds=10.0)


def sitemap(*urls: str, kind: str = "urlset") -> bytes:
    entries = "".join(f"<url><loc>{url}</loc><lastmod>2020</lastmod></url>" for url in urls)
    return f'<?xml version="1.0"?><{kind} xmlns="x">{entries}</{kind}>'.encode()


def listed(server: "HostileServer", *, most: int = 100) -> list[str]:
    async def ask() -> list[str]:
        async with Fetcher(CONFIG, (server.host,), only_hosts=(server.host,)) as fetcher:
            return await listed_pages(fetcher, [server.url("/deep/page")], most=most)

    return [url.removeprefix(server.url("")) for url in asyncio.run(ask())]


@pytest.mark.parametrize(
    ("body", "pages"),
    [
        (sitemap("http://a.test/1", "http://a.test/2"), ["http://a.test/1", "http://a.test/2"]),
        (gzip.compress(sitemap("http://a.test/1")), ["http://a.test/1"]),
        (sitemap("\n http://a.test/?a=1&amp;b=2 "), ["http://a.test/?a=1&b=2"]),
        (sitemap("<![CDATA[http://a.test/1]]>"), ["http://a.test/1"]),
        (sitemap("http://a.test/1")[:-9] + b"<url><loc>http://a.te", ["http://a.test/1"]),
        (b"<x><image:loc>http://a.test/i.png</image:loc></x>", []),
        (b"http://a.test/1\r\nhttps://a.test/2\nother", ["http://a.test/1", "https://a.test/2"]),
        (b"<html><p>http://a.test/</p>", []),
        (b"\x1f\x8bnonsense", []),
        (b"", []),
    ],
)
def test_pages_of_a_sitemap(body: bytes, pages: list[str]) -> None:
    found = read_sitemap(body)
    assert (found.pages, found.sitemaps) == (pages, [])


def test_an_index_lists_sitemaps() -> None:
    found = read_sitemap(sitemap("http://a.test/s.xml", kind="sitemapindex"))
    assert (found.pages, found.sitemaps) == ([], ["http://a.test/s.xml"])


def test_a_file_cut_short_gives_what_it_has() -> None:
    packed = gzip.compress(sitemap(*(f"http://a.test/{n}" for n in range(9_000))), mtime=0)
    assert 0 < len(read_sitemap(packed[: len(packed) // 2]).pages) < 9_000


def test_entities_are_not_expanded() -> None:
    bomb = (
        '<!DOCTYPE x [<!ENTITY a "xxxx"><!ENTITY b "&a;&a;&a;">]>' + "<loc>http://a.test/&b;</loc>"
    )
    assert read_sitemap(bomb.encode()).pages == ["http://a.test/&b;"]


def test_bombs_are_read_up_to_the_bounds() -> None:
    began = time.process_time()
    entry = b"<loc>http://a.test/1</loc>"
    found = read_sitemap(gzip.compress(entry * (2 * MAX_BYTES // len(entry)), 1))
    assert len(found.pages) == MAX_ENTRIES
    assert read_sitemap(gzip.compress(b"<loc>" + b"x" * 2 * MAX_BYTES, 1)).pages == []
    assert read_sitemap(b"<loc>" * 500_000).pages == []
    assert read_sitemap(b"<loc>" + b" " * 2_000_000).pages == []
    assert read_sitemap(b"<loc>x " * 400_000 + b"<loc>" + b">" * 400_000).pages == []
    assert time.process_time() - began < 10


def test_sitemap_lines_of_robots_txt() -> None:
    lines = ["User-agent: *\r", "SITEMAP : http://a.test/1.xml # one", "Disallow: /"]
    text = "\n".join([*lines, "  sitemap:/2.xml", "#Sitemap: no", "Sitemap:"])
    assert sitemaps_in_robots(text) == ["http://a.test/1.xml", "/2.xml"]


def test_robots_txt_leads_to_sitemaps_and_an_index_to_more(server: "HostileServer") -> None:
    server.put("/robots.txt", f"Sitemap: {server.url('/index.xml')}".encode())
    two = server.put("/two.xml.gz", gzip.compress(sitemap(server.url("/c"))))
    one = server.put("/one.xml", sitemap(server.url("/a"), server.url("/b")))
    index = server.url("/index.xml")
    server.put("/index.xml", sitemap(one, one, two, index, kind="sitemapindex"))
    assert listed(server) == ["/a", "/b", "/c"]
    assert server.requests.count("/one.xml") == server.requests.count("/index.xml") == 1
    assert "/sitemap.xml" not in server.requests


def test_without_a_word_in_robots_txt_the_usual_place_is_asked(server: "HostileServer") -> None:
    server.put("/sitemap.xml", sitemap(server.url("/a")))
    assert listed(server) == ["/a"]


def test_no_more_sitemaps_are_asked_for_than_needed(server: "HostileServer") -> None:
    server.put(
        "/robots.txt", b"".join(b"Sitemap: %s\n" % server.url(f"/{n}").encode() for n in "12")
    )
    server.put("/1", sitemap(server.url("/a"), server.url("/b")))
    assert listed(server, most=2) == ["/a", "/b"]
    assert "/2" not in server.requests


def test_sitemaps_elsewhere_or_forbidden_are_not_asked_for(server: "HostileServer") -> None:
    lines = ["User-agent: *", "Disallow: /no", "Sitemap: http://b.test/s.xml"]
    lines.append(f"Sitemap: {server.url('/no.xml')}")
    server.put("/robots.txt", "\n".join(lines).encode())
    server.put("/no.xml", sitemap(server.url("/a")))
    assert listed(server) == []
    assert "/no.xml" not in server.requests
