"""A polite breadth-first crawl of a few hosts into WARC files, which the `warc` reader reads.

Pages are asked for in the order of discovery: the seeds, what their sites' sitemaps list, then
depth by depth, and within a depth in the order of the pages and links that led there. Which answer
comes first does not matter, so that two crawls of an unchanged web visit the same pages.

A crawl that was cut off goes on where it was: pages in its WARC files are not asked for again, but
for those that failed for a passing reason. Of a long page the beginning is read and kept
(`page.MAX_PAGE_BYTES`); of one that opted out only its outcome and links.
"""

import asyncio
import json
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

from diagonal_data.addresses import http_url, is_listed
from diagonal_data.candidates.found import PageOutcome
from diagonal_data.candidates.page import MAX_PAGE_BYTES, read_page
from diagonal_data.candidates.site_warc import CrawlLog, Visit, warc_files
from diagonal_data.candidates.sitemap import MAX_BYTES, listed_pages
from diagonal_data.fetch import Fetcher
from diagonal_data.fetch_config import FetchConfig
from diagonal_data.host_ledger import HostLedger
from diagonal_data.response import Response
from diagonal_data.schema import TRANSIENT, canonical_url
from diagonal_data.site_rules import WebCache
from diagonal_infra import storage, tally
from diagonal_infra.errors import StorageError, UserError
from diagonal_infra.shared import Here

logger = logging.getLogger(__name__)

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
"""Pages asked for at a time, per request in flight: bounds the links held, keeps slots busy."""
LONGEST_PAGE_BYTES = 4 * MAX_PAGE_BYTES
"""A longer page is given up as body_too_large."""
MAX_LINKS = 10_000
"""Followed of one page; a megabyte holds ten times as many."""
OUTCOMES = "outcomes.json"
"""In the crawl's folder once it is finished: what was crawled, and the pages by outcome."""


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What is crawled; another plan in the same folder goes on with the pages that are there."""

    seeds: tuple[str, ...]
    hosts: tuple[str, ...]
    """Visited, by redirects too."""
    max_pages: int


def crawl_to_warc(
    seeds: Sequence[str],
    config: FetchConfig,
    allow_hosts: Sequence[str],
    folder: str,
    *,
    max_pages: int,
) -> Counter[str]:
    """Pages by outcome (`PageOutcome` or `Reason`), at most `max_pages`, failed ones included.

    Only hosts of seeds and `allow_hosts` are visited. Every page that is read stands in
    `FOLDER/site-*.warc.gz` as soon as it is. A finished crawl is not asked for again.

    Raises:
        UserError: a seed that is no http(s) URL, or a folder that is not local; nothing is
            fetched then.
        StorageError: a file cannot be written.
    """
    hosts = (*map(_seed_host, seeds), *allow_hosts)
    plan = _Plan(seeds=tuple(map(canonical_url, seeds)), hosts=hosts, max_pages=max_pages)
    local = storage.local_path(folder)
    if local is None:
        raise UserError(
            f"--output {folder!r} is not local; a crawl appends to its files, which object stores "
            "do not: choose a local folder and copy it"
        )
    finished = _finished(folder, plan)
    if finished is not None:
        return finished
    try:
        with CrawlLog(Path(local), config.full_user_agent) as log, asyncio.Runner() as runner:
            outcomes = runner.run(_crawl(plan, config, allow_hosts, log))
    except OSError as error:
        # The web raises nothing here.
        raise StorageError(
            f"cannot write the crawl to {folder!r}: {error}; the same command goes on with it"
        ) from error
    summary = {"plan": asdict(plan), "outcomes": outcomes}
    storage.write_bytes(storage.join(folder, OUTCOMES), json.dumps(summary, indent=1).encode())
    return outcomes


def _finished(folder: str, plan: _Plan) -> Counter[str] | None:
    path = storage.join(folder, OUTCOMES)
    if not storage.exists(path) or not warc_files(Path(folder)):
        return None
    summary = json.loads(storage.read_bytes(path))
    # Through JSON, in which tuples are lists.
    same = summary["plan"] == json.loads(json.dumps(asdict(plan)))
    return Counter(summary["outcomes"]) if same else None


async def _crawl(
    plan: _Plan, config: FetchConfig, allow_hosts: Sequence[str], log: CrawlLog
) -> Counter[str]:
    ledger, cache = Here(HostLedger(config)), WebCache()

    def fetcher(max_bytes: int) -> Fetcher:
        bounded = replace(config, max_bytes=max_bytes)
        return Fetcher(bounded, allow_hosts, ledger=ledger, cache=cache, only_hosts=plan.hosts)

    frontier = dict.fromkeys(plan.seeds)
    async with fetcher(MAX_BYTES) as for_sitemaps:
        listed = await listed_pages(for_sitemaps, plan.seeds, most=plan.max_pages)
    frontier |= dict.fromkeys(visitable(listed, plan.hosts))
    async with fetcher(min(config.max_bytes, LONGEST_PAGE_BYTES)) as for_pages:
        visitor = _Visitor(for_pages, log, plan.hosts, config.robots_agent)
        return await _breadth_first(frontier, visitor, plan, config)


async def _breadth_first(
    frontier: dict[str, None], visitor: "_Visitor", plan: _Plan, config: FetchConfig
) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    seen = set(frontier)
    pages_left = plan.max_pages
    while frontier and pages_left > 0:
        found: dict[str, None] = {}
        asked = list(islice(frontier, pages_left))
        pages_left -= len(asked)
        for batch in _batches(asked, PAGES_PER_SLOT * config.max_in_flight):
            await _visit_all(visitor, batch)
            for url in batch:
                visit = visitor.visited(url)
                outcomes[str(visit.outcome)] += 1
                tally.now().add_items("pages", {str(visit.outcome): 1})
                # No more than can be asked for, so that a trap of links fills no memory.
                new = (link for link in visit.links if link not in seen and link not in found)
                found |= dict.fromkeys(islice(new, pages_left - len(found)))
        frontier = found
        seen |= frontier.keys()
    return outcomes


async def _visit_all(visitor: "_Visitor", urls: Sequence[str]) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for url in urls:
                group.create_task(visitor.visit(url))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed


class _Visitor:
    """Asks for pages, unless the log has them, and writes what became of them."""

    def __init__(
        self, fetcher: Fetcher, log: CrawlLog, hosts: Sequence[str], robots_agent: str
    ) -> None:
        self._fetcher = fetcher
        self._log = log
        self._hosts = hosts
        self._robots_agent = robots_agent

    def visited(self, url: str) -> Visit:
        """What became of a page, from disk: the links of many pages are large together."""
        visit = self._log.visit_of(url)
        assert visit is not None, url
        return visit

    async def visit(self, url: str) -> None:
        """Ask for a page and log it, unless the log has a lasting word on it."""
        known = self._log.visit_of(url)
        if known is not None and known.outcome not in TRANSIENT:
            return
        response = await self._fetcher.get(url)
        visit = visit_of(response, self._robots_agent, self._hosts)
        if visit.outcome == PageOutcome.READ:
            body = response.body or b""
            kept = replace(response, body=body[:MAX_PAGE_BYTES])
            self._log.add(visit, kept, whole=len(body) <= MAX_PAGE_BYTES)
        else:
            self._log.add(visit)
            logger.info("page=%s outcome=%s detail=%s", url, visit.outcome, visit.detail)


def visit_of(response: Response, agent: str, hosts: Sequence[str]) -> Visit:
    """What one response gives: links to go on to, or the reason why there are none."""
    url = response.url
    if response.body is None:
        return Visit(url=url, outcome=str(response.reason), detail=response.detail)
    content_type, charset = parse_content_type(response.headers.get("content-type", ""))
    if content_type not in PAGE_TYPES:
        detail = content_type or "no Content-Type"
        return Visit(url=url, outcome=PageOutcome.NOT_HTML, detail=detail)
    page = read_page(response.body, response.final_url, charset=charset, agent=agent)
    return Visit(url=url, outcome=page.outcome, links=visitable(page.links[:MAX_LINKS], hosts))


def visitable(links: Sequence[str], hosts: Sequence[str]) -> list[str]:
    """The links that may be asked for as pages, each once, spelled canonically, in their order."""
    chosen: dict[str, None] = {}
    for link in map(canonical_url, links):
        url = http_url(link)
        if url is None or urlsplit(link).path.lower().endswith(OTHER_ENDINGS):
            continue
        if is_listed(url.raw_host or "", url.port or 0, hosts):
            chosen[link] = None
    return list(chosen)


def parse_content_type(header: str) -> tuple[str, str | None]:
    """`Text/HTML; charset="utf-8"` → (`text/html`, `utf-8`)."""
    kind, _, parameters = header.partition(";")
    charset = re.search(r"charset\s*=\s*[\"']?([^\s\"';]+)", parameters, re.IGNORECASE)
    return kind.strip().lower(), charset[1] if charset else None


def _batches(urls: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(urls), size):
        yield urls[start : start + size]


def check_seeds(seeds: Sequence[str]) -> None:
    """Raise UserError for a seed that is no http(s) URL."""
    for seed in seeds:
        _seed_host(seed)


def _seed_host(seed: str) -> str:
    url = http_url(seed)
    if url is None or not url.raw_host:
        raise UserError(f"--input {seed!r} is no http(s) URL; write it like https://example.org/")
    return url.raw_host
