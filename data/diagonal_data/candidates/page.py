"""Images with their texts, and links, of one HTML page. Pure.

    page_encoding   bytes → UTF-8                 page_images    addresses and texts of `<img>`
    page_scan       where the tags are            page_licences  rel=license, deeds
    page_urls       relative → absolute           page_facts     opt-outs, og:image, JSON-LD
    page_text       references, tags → text       page_rows      all of these together

The time is linear in the page, whatever it holds. Of a long page the beginning is read.
"""

import html
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urldefrag

from diagonal_data.candidates.found import Found, PageOutcome
from diagonal_data.candidates.page_attributes import attributes, value_of
from diagonal_data.candidates.page_encoding import as_utf8
from diagonal_data.candidates.page_facts import meta_pairs, meta_words, read_metas
from diagonal_data.candidates.page_rows import PageRows
from diagonal_data.candidates.page_scan import PageScan
from diagonal_data.candidates.page_text import collapse
from diagonal_data.candidates.page_urls import BaseUrl
from diagonal_data.robots import is_opt_out

MAX_PAGE_BYTES = 2**20
"""What is read of a page, as in Common Crawl."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """What one page has to offer."""

    outcome: PageOutcome = PageOutcome.READ
    found: list[Found] = field(default_factory=list)
    images: Counter[str] = field(default_factory=Counter)
    """What became of its images (`ImageOutcome`); nothing, if it opted out."""
    links: list[str] = field(default_factory=list)
    """Absolute, without fragments, each once; only if asked for."""
    title: str | None = None
    lang: str | None = None

    @property
    def opted_out(self) -> bool:
        """Whether it keeps its images out of training."""
        return self.outcome == PageOutcome.OPTED_OUT


def read_page(
    body: bytes,
    page_url: str,
    *,
    charset: str | None = None,
    agent: str | None = None,
    with_links: bool = True,
) -> Page:
    """The images and links of a page, in document order; a page that opted out has no images.

    Args:
        body: as fetched; only the first MiB is read.
        page_url: what relative addresses start from, unless the page has a `<base>`.
        charset: from the Content-Type header; beats the page's own word, as browsers have it.
        agent: our product token: `<meta name=AGENT>` is heard like `<meta name=robots>`.
        with_links: else `links` stays empty, which saves time.
    """
    text = as_utf8(body[:MAX_PAGE_BYTES], charset)
    if text is None:
        return Page(outcome=PageOutcome.NOT_HTML)
    scan = PageScan(text, metas=meta_words(agent), links=with_links)
    base = _base_of(scan, page_url)
    facts = read_metas(meta_pairs(scan), agent)
    opted_out = is_opt_out(facts.directives)
    rows = PageRows(page_url, _lang_of(scan))
    if not opted_out:
        rows.add_page(scan, base, facts.images)
    return Page(
        outcome=PageOutcome.OPTED_OUT if opted_out else PageOutcome.READ,
        found=rows.found,
        images=rows.counts,
        links=[] if facts.directives & {"nofollow", "none"} else _links(scan, base),
        title=_title_of(scan),
        lang=rows.lang,
    )


def _base_of(scan: PageScan, page_url: str) -> BaseUrl:
    base = BaseUrl(page_url)
    if scan.base is None:
        return base
    href = base.join(value_of(attributes(scan.body, *scan.base).get(b"href")))
    return BaseUrl(href) if href else base


def _lang_of(scan: PageScan) -> str | None:
    if scan.document is None:
        return None
    tag = attributes(scan.body, *scan.document)
    return value_of(tag.get(b"lang") or tag.get(b"xml:lang")).strip() or None


def _title_of(scan: PageScan) -> str | None:
    if scan.title is None:
        return None
    start, end = scan.title
    return collapse(html.unescape(scan.body[start:end].decode("utf-8", "replace"))) or None


def _links(scan: PageScan, base: BaseUrl) -> list[str]:
    found: dict[str, None] = {}
    for span in scan.links:
        tag = attributes(scan.body, *span)
        url = base.join(value_of(tag.get(b"href")))
        if url and "nofollow" not in value_of(tag.get(b"rel")).lower().split():
            found[urldefrag(url).url] = None
    return list(found)
