"""A polite breadth-first crawl of a few hosts, for their image–text pairs.

Pages are asked for in the order of discovery: depth by depth, and within a depth in the order of
the pages and links that led there. Which answer comes first does not matter, so that two crawls of
an unchanged web find the same candidates in the same order. Nothing is resumed: a crawl that was
cut off starts over. Of a long page the beginning is read (`html.MAX_PAGE_BYTES`).
"""

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from urllib.parse import urlsplit

from diagonal_data.addresses import http_url, is_listed
from diagonal_data.candidates.found import ImageOutcome, PageOutcome
from diagonal_data.candidates.page import MAX_PAGE_BYTES, Page, collapse, read_page
from diagonal_data.fetch import Fetcher, Response
from diagonal_data.fetch_config import FetchConfig
from diagonal_data.schema import Candidate, candidate_for, canonical_url
from diagonal_infra.errors import UserError

PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml"})
# Links to these are not asked for: they are no pages, and each would cost a whole download.
OTHER_ENDINGS = (
    *(".apng", ".avif", ".bmp", ".gif", ".ico", ".jpeg", ".jpg", ".png", ".svg", ".tif", ".webp"),
    *(".avi", ".mkv", ".mov", ".mp3", ".mp4", ".mpeg", ".mpg", ".ogg", ".wav", ".webm"),
    *(".7z", ".bz2", ".dmg", ".exe", ".gz", ".iso", ".rar", ".tar", ".tgz", ".xz", ".zip"),
    *(".css", ".csv", ".doc", ".docx", ".epub", ".js", ".json", ".pdf", ".ppt", ".pptx", ".rss"),
    *(".xls", ".xlsx", ".xml"),
)
PAGES_PER_SLOT = 4
"""Pages asked for at a time, per request in flight: bounds the bodies held, keeps slots busy."""
LONGEST_PAGE_BYTES = 4 * MAX_PAGE_BYTES
"""A longer page is given up as body_too_large. Of one that was fetched only what `read_page` reads
is held, so that 64 requests in flight need 1/2 GiB at worst and not five."""


@dataclass(frozen=True, kw_only=True)
class CrawledPage:
    """One page that was asked for, and what it gave."""

    url: str
    outcome: str
    """`read`, `not_html`, or a `Reason`."""
    detail: str | None = None
    candidates: list[Candidate]
    empty_captions: int = 0
    links: list[str]


def crawl(
    seeds: Sequence[str], config: FetchConfig, allow_hosts: Sequence[str] = (), *, max_pages: int
) -> Iterator[CrawledPage]:
    """The pages reached from `seeds`, at most `max_pages`, failed ones included.

    Only hosts of seeds and `allow_hosts` are visited, by redirects too.

    Raises:
        UserError: a seed that is no http(s) URL; before anything is fetched.
    """
    hosts = (*map(_seed_host, seeds), *allow_hosts)
    config = replace(config, max_bytes=min(config.max_bytes, LONGEST_PAGE_BYTES))
    return _crawl(seeds, Fetcher(config, allow_hosts, only_hosts=hosts), hosts, config, max_pages)


def _crawl(
    seeds: Sequence[str],
    fetcher: Fetcher,
    hosts: Sequence[str],
    config: FetchConfig,
    max_pages: int,
) -> Iterator[CrawledPage]:
    frontier = {canonical_url(url): None for url in seeds}
    seen = set(frontier)
    pages_left = max_pages
    with asyncio.Runner() as runner:
        runner.run(fetcher.__aenter__())
        try:
            while frontier and pages_left > 0:
                found: dict[str, None] = {}
                asked = list(islice(frontier, pages_left))
                pages_left -= len(asked)
                size = PAGES_PER_SLOT * config.max_in_flight
                for start in range(0, len(asked), size):
                    batch = asked[start : start + size]
                    for response in runner.run(get_pages(fetcher, batch)):
                        page = crawled_page(response, config.robots_agent)
                        found |= dict.fromkeys(visitable(page.links, hosts))
                        yield page
                frontier = {url: None for url in found if url not in seen}
                seen |= frontier.keys()
        finally:
            runner.run(fetcher.__aexit__(None, None, None))


async def get_pages(fetcher: Fetcher, urls: Sequence[str]) -> list[Response]:
    """One response per URL, in their order, each body cut to what is read of a page."""

    async def get_page(url: str) -> Response:
        response = await fetcher.get(url)
        return replace(response, body=response.body and response.body[:MAX_PAGE_BYTES])

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(get_page(url)) for url in urls]
    return [task.result() for task in tasks]


def crawled_page(response: Response, agent: str) -> CrawledPage:
    """What one response gives: candidates and links, or the reason why there are none."""
    nothing = CrawledPage(url=response.final_url, outcome="not_html", candidates=[], links=[])
    if response.body is None:
        outcome = str(response.reason)
        return replace(nothing, outcome=outcome, detail=response.detail)
    content_type, charset = parse_content_type(response.headers.get("content-type", ""))
    if content_type not in PAGE_TYPES:
        return replace(nothing, detail=content_type or "no Content-Type")
    page = read_page(response.body, response.final_url, charset=charset, agent=agent)
    if page.outcome == PageOutcome.NOT_HTML:
        return nothing
    candidates = page_candidates(page, response.final_url)
    return CrawledPage(
        url=response.final_url,
        outcome="opted_out" if page.opted_out else "read",
        candidates=candidates,
        empty_captions=page.images[ImageOutcome.NO_TEXT],
        links=page.links,
    )


def page_candidates(page: Page, page_url: str) -> list[Candidate]:
    """The page's images as candidates, in order, each with its first text."""
    return [
        candidate_for(
            image.url,
            collapse(image.texts[0]),
            caption_raw=image.texts[0],
            page_url=page_url,
            source=image.sources[0],
            width_hint=image.width_hint,
            height_hint=image.height_hint,
            licence=image.licence,
        )
        for image in page.found
    ]


def visitable(links: Sequence[str], hosts: Sequence[str]) -> list[str]:
    """The links that may be asked for as pages, in canonical spelling and the same order."""
    chosen = []
    for link in map(canonical_url, links):
        url = http_url(link)
        if url is None or urlsplit(link).path.lower().endswith(OTHER_ENDINGS):
            continue
        if is_listed(url.raw_host or "", url.port or 0, hosts):
            chosen.append(link)
    return chosen


def parse_content_type(header: str) -> tuple[str, str | None]:
    """`Text/HTML; charset="utf-8"` → (`text/html`, `utf-8`)."""
    kind, _, parameters = header.partition(";")
    charset = re.search(r"charset\s*=\s*[\"']?([^\s\"';]+)", parameters, re.IGNORECASE)
    return kind.strip().lower(), charset[1] if charset else None


def _seed_host(seed: str) -> str:
    url = http_url(seed)
    if url is None or not url.raw_host:
        raise UserError(f"--seeds {seed!r} is no http(s) URL; write it like https://example.org/")
    return url.raw_host
