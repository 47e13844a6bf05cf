"""Images of Common Crawl's WAT files: for each page the links and metadata that the crawl saw.

    Envelope / WARC-Header-Metadata / WARC-Target-URI
             / Payload-Metadata / HTTP-Response-Metadata / Headers, Response-Message
                                                         / HTML-Metadata / Head: Base, Metas, Link
                                                                         / Links: IMG@/src url alt

A WAT tells of an image src, alt and title, and of the page og:image, opt-outs and licence; srcset,
figcaption and the rest are in the WARC only. Nothing else of a record is decoded.
"""

from collections.abc import Iterator, Sequence
from typing import IO

import msgspec
from msgspec import Struct

from diagonal_data.candidates.found import Found, ImageOutcome, PageOutcome, ReadCounts
from diagonal_data.candidates.members import Record, read_records
from diagonal_data.candidates.page_facts import StatedImage, read_metas
from diagonal_data.candidates.page_images import why_no_url
from diagonal_data.candidates.page_rows import PageRows
from diagonal_data.candidates.page_text import attribute_text
from diagonal_data.candidates.page_urls import BaseUrl
from diagonal_data.robots import is_opt_out, opts_out

MAX_RECORD_BYTES = 2**24
"""A longer record is passed over; those of Common Crawl end at a few MiB."""
IMAGE_PATH = "IMG@/src"


class _Link(Struct, gc=False):
    path: str | None = None
    url: str | None = None
    alt: str | None = None
    title: str | None = None
    rel: str | None = None


class _Meta(Struct, gc=False):
    name: str | None = None
    property: str | None = None
    content: str | None = None


class _Head(Struct, rename="pascal"):
    base: str | None = None
    metas: list[_Meta] = []
    link: list[_Link] = []


class _Html(Struct, rename="pascal"):
    head: _Head | None = None
    links: list[_Link] = []


class _Headers(Struct):
    robots: str | None = msgspec.field(default=None, name="X-Robots-Tag")
    robots_lower: str | None = msgspec.field(default=None, name="x-robots-tag")


class _Status(Struct):
    status: str | None = msgspec.field(default=None, name="Status")


class _Response(Struct):
    headers: _Headers | None = msgspec.field(default=None, name="Headers")
    message: _Status | None = msgspec.field(default=None, name="Response-Message")
    html: _Html | None = msgspec.field(default=None, name="HTML-Metadata")


class _Payload(Struct):
    response: _Response | None = msgspec.field(default=None, name="HTTP-Response-Metadata")


class _Warc(Struct):
    uri: str | None = msgspec.field(default=None, name="WARC-Target-URI")


class _Envelope(Struct):
    warc: _Warc | None = msgspec.field(default=None, name="WARC-Header-Metadata")
    payload: _Payload | None = msgspec.field(default=None, name="Payload-Metadata")


class _Wat(Struct):
    envelope: _Envelope | None = msgspec.field(default=None, name="Envelope")


DECODER = msgspec.json.Decoder(_Wat, strict=False)


def read_wat(
    stream: IO[bytes],
    counts: ReadCounts,
    *,
    start: int = 0,
    end: int | None = None,
    agent: str | None = None,
) -> Iterator[list[Found]]:
    """The images of each page whose records begin in the part, page by page.

    Args:
        stream: a file that can seek.
        counts: what became of pages and images is added.
        start: first byte of the part.
        end: behind its last byte; None is the end of the file.
        agent: our product token, for opt-outs that name it.
    """
    for record in read_records(stream, start, end, max_bytes=MAX_RECORD_BYTES):
        if isinstance(record, PageOutcome):
            counts.pages[record] += 1
        elif record.header(b"WARC-Type") == "metadata":
            outcome, rows = _read_record(record, agent)
            if outcome:
                counts.pages[outcome] += 1
            if rows:
                counts.images.update(rows.counts)
            if rows and rows.found:
                yield rows.found


def _read_record(record: Record, agent: str | None) -> tuple[PageOutcome | None, PageRows | None]:
    """What became of the page, None if the record is about something else, and its rows."""
    if record.is_cut:
        return PageOutcome.TOO_LARGE, None
    try:
        envelope = DECODER.decode(record.content).envelope
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return PageOutcome.BAD_RECORD, None
    response = envelope.payload.response if envelope and envelope.payload else None
    if not envelope or not response:
        return None, None
    url = envelope.warc.uri if envelope.warc else None
    if not url:
        return PageOutcome.BAD_RECORD, None
    if response.message and response.message.status not in (None, "200"):
        return PageOutcome.HTTP_ERROR, None
    if not response.html:
        return PageOutcome.NOT_HTML, None
    metas = [
        ((meta.property or meta.name or "").strip().lower(), meta.content or "")
        for meta in (response.html.head.metas if response.html.head else ())
    ]
    facts = read_metas(metas, agent)
    headers = response.headers
    tags = (headers.robots or headers.robots_lower) if headers else None
    if is_opt_out(facts.directives) or (tags and opts_out([tags], agent or "")):
        return PageOutcome.OPTED_OUT, None
    return PageOutcome.READ, _page_rows(url, response.html, facts.images)


def _page_rows(url: str, html: _Html, stated: Sequence[StatedImage]) -> PageRows:
    base = BaseUrl(url)
    head = html.head
    if head and head.base and (joined := base.join(head.base)):
        base = BaseUrl(joined)
    rows = PageRows(url, None)
    rows.licence = _licence(head, base)
    for link in html.links:
        if link.path == IMAGE_PATH:
            _add_image(rows, link, base)
    rows.add_stated(stated, base)
    return rows


def _add_image(rows: PageRows, link: _Link, base: BaseUrl) -> None:
    texts, sources = [], []
    for source, text in (("alt", link.alt), ("title", link.title)):
        text = text and _plain(text)
        if text and not text.isspace() and text not in texts:
            texts.append(text)
            sources.append(source)
    if not texts:
        rows.counts[ImageOutcome.NO_TEXT] += 1
        return
    address = _plain(link.url or "")
    found = base.join(address)
    if found:
        rows.add(found, texts, sources)
    else:
        rows.counts[why_no_url([address])] += 1


def _licence(head: _Head | None, base: BaseUrl) -> str | None:
    for link in head.link if head else ():
        if link.rel and link.url and "license" in link.rel.lower().split():
            return base.join(_plain(link.url))
    return None


def _plain(text: str) -> str:
    # Some versions of the WAT writer leave character references as they stood.
    return attribute_text(text) if "&" in text else text
