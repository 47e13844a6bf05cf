"""Pages that a site lists itself: sitemaps (sitemaps.org), found by robots.txt or at /sitemap.xml.

    robots.txt  ─ Sitemap: URL ─┐
    /sitemap.xml (if none) ─────┴─►  sitemap or index of sitemaps; XML or URLs line by line; gzip

They are read as text and not as XML: entities are never expanded, and a file that breaks off gives
what it has. Bounds are the protocol's: 50 MiB unpacked and 50,000 entries a file.
"""

import html
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from yarl import URL

from diagonal_data.fetch import Fetcher

MAX_BYTES = 50 * 2**20
"""Of one sitemap, unpacked; the rest is not read."""
MAX_ENTRIES = 50_000
"""Of one sitemap; the rest is not read."""
MAX_SITEMAPS = 1_000
"""Files asked for in one crawl."""
# Possessive throughout, so that a megabyte of blanks is looked at once.
LOCATION = re.compile(
    rb"<loc>\s*+(?:<!\[CDATA\[\s*+)?+([^<>\s]{1,8000}+)\s*+(?:>\s*+)?+</loc>", re.IGNORECASE
)
INDEX = re.compile(rb"<sitemapindex[\s>]", re.IGNORECASE)
ROBOTS_LINE = re.compile(r"^[ \t]*sitemap[ \t]*:[ \t]*(\S+)", re.IGNORECASE | re.MULTILINE)
GZIP = b"\x1f\x8b"


@dataclass(frozen=True, kw_only=True)
class Sitemap:
    """What one file lists."""

    pages: list[str]
    sitemaps: list[str]


async def listed_pages(fetcher: Fetcher, seeds: Sequence[str], *, most: int) -> list[str]:
    """Pages that the sites of the seeds list, at least `most` if there are so many; as listed.

    Sitemaps are asked for one after the other, so that the order is theirs.
    """
    pages: list[str] = []
    waiting = [name for origin in _origins(seeds) for name in await _sitemaps_of(fetcher, origin)]
    seen: set[str] = set()
    while waiting and len(pages) < most and len(seen) < MAX_SITEMAPS:
        url = waiting.pop(0)
        if url in seen:
            continue
        seen.add(url)
        answer = await fetcher.get(url)
        if answer.body is not None:
            listed = read_sitemap(answer.body)
            pages.extend(listed.pages)
            waiting.extend(islice(listed.sitemaps, max(MAX_SITEMAPS - len(waiting), 0)))
    return pages


def read_sitemap(body: bytes) -> Sitemap:
    """The addresses in a sitemap or an index of sitemaps; nothing of what is neither."""
    text = _unpacked(body)
    found = [_address(match[1]) for match in islice(LOCATION.finditer(text), MAX_ENTRIES)]
    if INDEX.search(text):
        return Sitemap(pages=[], sitemaps=found)
    if not found and not text.lstrip().startswith(b"<"):
        lines = islice(text.splitlines(), MAX_ENTRIES)
        found = [_address(line) for line in lines if line.startswith((b"http://", b"https://"))]
    return Sitemap(pages=found, sitemaps=[])


def sitemaps_in_robots(robots_txt: str) -> list[str]:
    """The addresses of its Sitemap lines."""
    return [match[1] for match in islice(ROBOTS_LINE.finditer(robots_txt), MAX_SITEMAPS)]


async def _sitemaps_of(fetcher: Fetcher, origin: str) -> list[str]:
    answer = await fetcher.get(f"{origin}/robots.txt")
    robots_txt = (answer.body or b"").decode("utf-8", "replace")
    return sitemaps_in_robots(robots_txt) or [f"{origin}/sitemap.xml"]


def _origins(urls: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(str(URL(url).origin()) for url in urls))


def _unpacked(body: bytes) -> bytes:
    if not body.startswith(GZIP):
        return body[:MAX_BYTES]
    inflater = zlib.decompressobj(wbits=31)
    try:
        return inflater.decompress(body, MAX_BYTES)
    except zlib.error:
        return b""


def _address(raw: bytes) -> str:
    # What ends a CDATA section holds no character that ends an address.
    return html.unescape(raw.strip().removesuffix(b"]]").decode("utf-8", "replace"))
