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
RESPONSE = b'"HTTP-Response-Metadata"'
"""Records without this are about requests and the crawl."""
ALT_ONLY = ("alt",)


class _Link(Struct, gc=False, frozen=True):
    path: str | None = None
    url: str | None = None
    alt: str | None = None
    title: str | None = None


class _HeadLink(Struct, gc=False, frozen=True):
    url: str | None = None
    rel: str | None = None


class _Meta(Struct, gc=False, frozen=True):
    name: str | None = None
    property: str | None = None
    content: str | None = None


class _Head(Struct, rename="pascal", gc=False, frozen=True):
    base: str | None = None
    metas: list[_Meta] = []
    link: list[_HeadLink] = []


class _Html(Struct, rename="pascal", gc=False, frozen=True):
    head: _Head = _Head()
    links: list[_Link] = []


class _Headers(Struct, gc=False, frozen=True):
    robots: str | None = msgspec.field(default=None, name="X-Robots-Tag")
    robots_lower: str | None = msgspec.field(default=None, name="x-robots-tag")


class _Status(Struct, gc=False, frozen=True):
    status: str = msgspec.field(default="200", name="Status")


class _Response(Struct, gc=False, frozen=True):
    headers: _Headers = msgspec.field(default=_Headers(), name="Headers")
    message: _Status = msgspec.field(default=_Status(), name="Response-Message")
    html: _Html | None = msgspec.field(default=None, name="HTML-Metadata")


class _Payload(Struct, gc=False, frozen=True):
    response: _Response | None = msgspec.field(default=None, name="HTTP-Response-Metadata")


class _Warc(Struct, gc=False, frozen=True):
    uri: str = msgspec.field(default="", name="WARC-Target-URI")


class _Envelope(Struct, gc=False, frozen=True):
    warc: _Warc = msgspec.field(default=_Warc(), name="WARC-Header-Metadata")
    payload: _Payload = msgspec.field(default=_Payload(), name="Payload-Metadata")


class _Wat(Struct, gc=False, frozen=True):
    envelope: _Envelope = msgspec.field(default=_Envelope(), name="Envelope")


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
                counts.images.update(rows.counts())
            if rows and rows.found:
                yield rows.found


def _read_record(record: Record, agent: str | None) -> tuple[PageOutcome | None, PageRows | None]:
    """What became of the page, None if the record is about something else, and its rows."""
    if RESPONSE not in record.content:
        return None, None
    if record.is_cut:
        return PageOutcome.TOO_LARGE, None
    try:
        envelope = DECODER.decode(record.content).envelope
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return PageOutcome.BAD_RECORD, None
    response, url = envelope.payload.response, envelope.warc.uri
    if not response:
        return None, None
    if not url:
        return PageOutcome.BAD_RECORD, None
    if response.message.status != "200":
        return PageOutcome.HTTP_ERROR, None
    if not response.html:
        return PageOutcome.NOT_HTML, None
    metas = [
        (name.strip().lower(), meta.content)
        for meta in response.html.head.metas
        if (name := meta.property or meta.name) and meta.content
    ]
    facts = read_metas(metas, agent)
    tags = response.headers.robots or response.headers.robots_lower
    if is_opt_out(facts.directives) or (tags and opts_out([tags], agent or "")):
        return PageOutcome.OPTED_OUT, None
    return PageOutcome.READ, _page_rows(url, response.html, facts.images)


def _page_rows(url: str, html: _Html, stated: Sequence[StatedImage]) -> PageRows:
    base = BaseUrl(url)
    if html.head.base and (joined := base.join(html.head.base)):
        base = BaseUrl(joined)
    rows = PageRows(url, None)
    rows.licence = _licence(html.head, base)
    _add_images(rows, [link for link in html.links if link.path == IMAGE_PATH], base)
    rows.add_stated(stated, base)
    return rows


def _add_images(rows: PageRows, links: Sequence[_Link], base: BaseUrl) -> None:
    without_text = 0
    for link in links:
        alt, texts, sources = link.alt, (), ALT_ONLY
        if alt and not alt.isspace():
            texts = (attribute_text(alt) if "&" in alt else alt,)
        if link.title:
            texts, sources = _with_title(texts, attribute_text(link.title))
        if not texts:
            without_text += 1
            continue
        address = link.url or ""
        # Some versions of the WAT writer leave character references as they stood.
        url = base.join(attribute_text(address) if "&" in address else address)
        if url:
            rows.add(url, texts, sources)
        else:
            rows.lost[why_no_url([address])] += 1
    if without_text:
        rows.lost[ImageOutcome.NO_TEXT] += without_text


def _with_title(alt: Sequence[str], title: str) -> tuple[Sequence[str], Sequence[str]]:
    if title.isspace() or title in alt:
        return alt, ALT_ONLY
    return (*alt, title), ((*ALT_ONLY, "title") if alt else ("title",))


def _licence(head: _Head, base: BaseUrl) -> str | None:
    for link in head.link:
        if link.rel and link.url and "license" in link.rel.lower().split():
            return base.join(attribute_text(link.url))
    return None
