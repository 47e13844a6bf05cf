"""A crawl into WARC files."""

import asyncio
import contextlib
import json
import resource
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fastwarc.warc import (  # pyright: ignore[reportMissingModuleSource]  # compiled
    ArchiveIterator,
    WarcRecordType,
)

from diagonal_data.candidates.page import MAX_PAGE_BYTES
from diagonal_data.candidates.site import (
    LONGEST_PAGE_BYTES,
    MAX_LINKS,
    OUTCOMES,
    crawl_to_warc,
)
from diagonal_data.candidates.site_warc import CrawlLog, warc_files
from diagonal_data.fetch_config import FetchConfig
from diagonal_infra.errors import StorageError, UserError

if TYPE_CHECKING:
    from tests.hostile_server import HostileServer

CONFIG = FetchConfig(timeout_seconds=10.0, retries=0)
CRAWLER = """
import sys
from diagonal_data.candidates.site import crawl_to_warc
from diagonal_data.fetch_config import FetchConfig
seed, host, folder = sys.argv[1:]
crawl_to_warc([seed], FetchConfig(), [host], folder, max_pages=100)
"""
SITE_FILES = {"/robots.txt", "/sitemap.xml", "/.well-known/tdmrep.json"}


def crawl(server: "HostileServer", folder: Path, *seeds: str, max_pages: int = 100) -> Counter[str]:
    chosen = seeds or (server.url("/"),)
    return crawl_to_warc(chosen, CONFIG, (server.host,), str(folder), max_pages=max_pages)


def asked(server: "HostileServer") -> list[str]:
    """Pages, in the order of requests."""
    return [path for path in server.requests if path not in SITE_FILES]


def written(folder: Path) -> dict[str, bytes]:
    """Path to body of all responses."""
    found: dict[str, bytes] = {}
    for path in warc_files(folder):
        with path.open("rb") as file:
            for record in ArchiveIterator(file, record_types=WarcRecordType.response):
                name = "/" + record.headers["WARC-Target-URI"].split("/", 3)[3]
                assert name not in found
                found[name] = record.reader.read()
    return found


@contextlib.contextmanager
def small_disk() -> Iterator[None]:
    """No file can grow beyond two kilobytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def put_web(server: "HostileServer") -> list[str]:
    """Nine pages in three depths; gives their paths."""
    server.put_page("/", "".join(f'<a href="/{n}">{n}</a>' for n in "abc"))
    for name in "abc":
        links = "".join(f'<a href="/{name}/{n}">{n}</a>' for n in "12")
        server.put_page(f"/{name}", f"{name}{links}")
        for number in "12":
            server.put_page(f"/{name}/{number}", "end")
    return ["/", *(f"/{n}" for n in "abc"), *(f"/{n}/{m}" for n in "abc" for m in "12")]


def test_all_pages_that_links_lead_to_are_written(server: "HostileServer", tmp_path: Path) -> None:
    paths = put_web(server)
    assert crawl(server, tmp_path) == {"read": 10}
    assert sorted(written(tmp_path)) == sorted(paths)
    assert written(tmp_path)["/a/1"] == b"end"


def test_pages_come_by_depth_and_the_cap_counts_failed_ones_too(
    server: "HostileServer", tmp_path: Path
) -> None:
    server.put_page("/", '<a href="/lost">l</a><a href="/a#part">a</a><a href="/b">b</a>')
    server.put_page("/a", '<a href="/">home</a>')
    assert crawl(server, tmp_path, max_pages=3) == {"read": 2, "not_found": 1}
    assert asked(server) == ["/", "/lost", "/a"]


def test_pages_of_the_sitemap_are_visited_before_links(
    server: "HostileServer", tmp_path: Path
) -> None:
    server.put_page("/", '<a href="/linked">l</a>')
    for path in ("/listed", "/linked"):
        server.put_page(path, "end")
    urls = [server.url(path) for path in ("/", "/listed", "/i.png")] + ["http://other.test/"]
    server.put("/sitemap.xml", "".join(f"<loc>{url}</loc>" for url in urls).encode())
    assert crawl(server, tmp_path, max_pages=2) == {"read": 2}
    assert asked(server) == ["/", "/listed"]


def test_links_of_a_redirected_page_start_from_where_it_is(
    server: "HostileServer", tmp_path: Path
) -> None:
    server.put("/", b"", "Location: /deep/er/", status="302 Found")
    server.put_page("/deep/er/", '<a href="next">n</a>')
    server.put_page("/deep/er/next", "end")
    crawl(server, tmp_path)
    assert list(written(tmp_path)) == ["/deep/er/", "/deep/er/next"]


def test_other_hosts_are_not_visited(server: "HostileServer", tmp_path: Path) -> None:
    server.put_page("/", '<a href="http://other.test/">o</a><a href="/out">x</a>')
    server.put("/out", b"", "Location: http://other.test/", status="302 Found")
    assert crawl(server, tmp_path) == {"read": 1, "address_refused": 1}


@pytest.mark.parametrize(
    ("content_type", "outcome"),
    [("text/plain", "not_html"), ("image/png", "not_html"), ("TEXT/HTML; charset=utf-8", "read")],
)
def test_only_html_is_kept(
    server: "HostileServer", tmp_path: Path, content_type: str, outcome: str
) -> None:
    server.put("/", b"<img src=a alt=x>", f"Content-Type: {content_type}")
    assert crawl(server, tmp_path) == {outcome: 1}
    assert len(written(tmp_path)) == (outcome == "read")


@pytest.mark.parametrize(
    ("head", "header"),
    [('<meta name=robots content="noai">', "X-A: b"), ("", "X-Robots-Tag: noai")],
)
def test_a_page_that_opts_out_is_not_kept(
    server: "HostileServer", tmp_path: Path, head: str, header: str
) -> None:
    server.put_page("/", f"{head}<img src=a alt=x>", header)
    assert crawl(server, tmp_path) == {"opted_out": 1}
    assert written(tmp_path) == {}


def test_robots_txt_keeps_the_crawl_out(server: "HostileServer", tmp_path: Path) -> None:
    server.put("/robots.txt", b"User-agent: *\nDisallow: /no")
    server.put_page("/", '<a href="/no">n</a>')
    assert crawl(server, tmp_path) == {"read": 1, "robots_disallowed": 1}
    assert asked(server) == ["/"]


def test_of_a_long_page_the_beginning_is_kept(server: "HostileServer", tmp_path: Path) -> None:
    server.put_page("/", '<a href="/long">l</a><a href="/endless">e</a>')
    server.put_page("/long", "x" * (MAX_PAGE_BYTES + 1))
    server.put_page("/endless", "x" * (LONGEST_PAGE_BYTES + 1))
    assert crawl(server, tmp_path) == {"read": 2, "body_too_large": 1}
    assert len(written(tmp_path)["/long"]) == MAX_PAGE_BYTES


def test_a_finished_crawl_asks_for_nothing(server: "HostileServer", tmp_path: Path) -> None:
    put_web(server)
    first = crawl(server, tmp_path)
    requests = len(server.requests)
    content = warc_files(tmp_path)[0].read_bytes()
    assert crawl(server, tmp_path) == first
    assert len(server.requests) == requests
    assert warc_files(tmp_path)[0].read_bytes() == content


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9, 1.0])
def test_a_crawl_cut_off_goes_on_where_it_was(
    server: "HostileServer", tmp_path: Path, share: float
) -> None:
    paths = put_web(server)
    server.put_page("/c", '<a href="/c/1">1</a><a href="/c/2">2</a><a href="/lost">l</a>')
    first = crawl(server, tmp_path)
    (tmp_path / OUTCOMES).unlink()
    (path,) = warc_files(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: round(share * len(content))])
    kept = set(written(tmp_path)) if share else set()
    server.requests.clear()
    assert crawl(server, tmp_path) == first == {"read": 10, "not_found": 1}
    again = set(asked(server))
    assert len(again & kept) <= 1, "at most the page whose records were torn"
    assert again | kept >= set(paths)
    assert sorted(written(tmp_path)) == sorted(paths)
    assert (share < 1.0) or not again


def test_a_crawl_that_is_killed_has_what_it_was_answered(
    server: "HostileServer", tmp_path: Path
) -> None:
    paths = put_web(server)
    reached, page = threading.Event(), server.routes["/b/1"]

    async def never(_: asyncio.StreamWriter) -> None:
        reached.set()
        await asyncio.Event().wait()

    server.routes["/b/1"] = never
    arguments = [server.url("/"), server.host, str(tmp_path)]
    crawler = subprocess.Popen([sys.executable, "-c", CRAWLER, *arguments])
    assert reached.wait(60)
    crawler.kill()
    crawler.wait()
    server.routes["/b/1"] = page
    kept = set(written(tmp_path))
    assert kept >= {"/", "/a", "/b", "/c"}
    server.requests.clear()
    assert crawl(server, tmp_path) == {"read": 10}
    assert set(asked(server)) == set(paths) - kept
    assert sorted(written(tmp_path)) == sorted(paths)


def test_a_page_that_failed_for_a_passing_reason_is_asked_for_again(
    server: "HostileServer", tmp_path: Path
) -> None:
    server.put_page("/", '<a href="/a">a</a><a href="/lost">l</a>')
    server.routes["/a"] = server.in_turn((b"", "503 Busy"), (b"fine", "200 OK"))
    assert crawl(server, tmp_path) == {"read": 1, "http_server_error": 1, "not_found": 1}
    (tmp_path / OUTCOMES).unlink()
    server.requests.clear()
    assert crawl(server, tmp_path) == {"read": 1, "not_html": 1, "not_found": 1}
    assert asked(server) == ["/a"]


def test_a_crawl_of_more_pages_goes_on_with_those_that_are_there(
    server: "HostileServer", tmp_path: Path
) -> None:
    paths = put_web(server)
    crawl(server, tmp_path, max_pages=4)
    server.requests.clear()
    assert crawl(server, tmp_path) == {"read": 10}
    assert sorted(asked(server)) == sorted(paths[4:])
    assert json.loads((tmp_path / OUTCOMES).read_bytes())["plan"]["max_pages"] == 100


def test_a_bad_seed_is_the_users_mistake_before_anything_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--input 'example\.org'"):
        crawl_to_warc(["example.org"], CONFIG, (), str(tmp_path / "c"), max_pages=1)
    with pytest.raises(UserError, match="not local"):
        crawl_to_warc(["http://a.test/"], CONFIG, (), "memory://c", max_pages=1)
    assert list(tmp_path.iterdir()) == []


def test_a_trap_of_links_is_followed_as_far_as_the_cap(
    server: "HostileServer", tmp_path: Path
) -> None:
    links = "".join(f"<a href=/{n}>" for n in range(2 * MAX_LINKS))
    server.put_page("/", links)
    server.put_page("/0", f"<a href=/{MAX_LINKS}>{links}")
    server.put_page("/1", '<a href="/late">')
    assert crawl(server, tmp_path, max_pages=6) == {"read": 3, "not_found": 3}
    assert sorted(asked(server)) == ["/", *(f"/{n}" for n in range(5))]
    with CrawlLog(tmp_path, "x") as log:
        visit = log.visit_of(server.url("/"))
    assert visit is not None
    assert len(visit.links) == MAX_LINKS


def test_a_full_disk_is_said_in_one_line_and_the_crawl_goes_on_later(
    server: "HostileServer", tmp_path: Path
) -> None:
    put_web(server)
    with small_disk(), pytest.raises(StorageError, match="cannot write the crawl"):
        crawl(server, tmp_path)
    assert not (tmp_path / OUTCOMES).exists()
    assert crawl(server, tmp_path) == {"read": 10}
