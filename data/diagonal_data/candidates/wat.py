"""Images of Common Crawl's WAT files: for each page the links and metadata that the crawl saw.

    Envelope / WARC-Header-Metadata / WARC-Target-URI
             / Payload-Metadata / HTTP-Response-Metadata / Headers, Response-Message
                                                         / HTML-Metadata / Head: Base, Metas, Link
                                                                         / Links: IMG@/src url alt

A WAT tells of an image src and alt, and of the page og:image, opt-outs and licence; srcset,
figcaption and the rest are in the WARC only. Nothing else of a record is decoded; the links, nine
tenths of it, only where those of images cannot be read off their bytes.
"""

import re
from collections.abc import Iterator, Sequence
from typing import IO

import msgspec
from msgspec import Struct

from diagonal_data.candidates.found import Found, ImageOutcome, PageOutcome, ReadCounts
from diagonal_data.candidates.members import Record, read_records
from diagonal_data.candidates.page_facts import MetaFacts, StatedImage, meta_words, read_metas
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
# The address and the alternative text of an image, as WAT writers write it: `path` first, strings
# only. The brace at the end tells that it was so to the end. Inside of a string none of it matches,
# for quotation marks are escaped there; a path that is spelled with escapes is overlooked.
IMAGE = re.compile(
    rb"""IMG@(?:/src"(?:(?<=\{"path":[ ]"IMG@/src")|(?<=\{"path":"IMG@/src"))
        (?: ,[ ]?"(?: url":[ ]?"([^"]*+) | alt":[ ]?"([^"]*+) | [a-z]++":[ ]?"[^"\\]*+ )" )*+
    (\}))?+""",
    re.VERBOSE,
)
ALT_ONLY = ("alt",)
NO_FACTS = MetaFacts(directives=set(), images=[])
_Images = tuple[Sequence[str], Sequence[str]]


class _Link(Struct, gc=False, frozen=True):
    path: str | None = None
    url: str | None = None
    alt: str | None = None


class _HeadLink(Struct, gc=False, frozen=True):
    url: str | None = None
    rel: str | None = None


NOTHING = msgspec.Raw(b"[]")


class _Meta(Struct, gc=False, frozen=True):
    name: str | None = None
    property: str | None = None
    content: str | None = None


class _Head(Struct, rename="pascal", gc=False, frozen=True):
    base: str | None = None
    metas: msgspec.Raw = NOTHING
    link: list[_HeadLink] = []


class _Html(Struct, rename="pascal", gc=False, frozen=True):
    head: _Head = _Head()
    links: msgspec.Raw = NOTHING


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


DECODER = msgspec.json.Decoder(_Wat)
METAS = msgspec.json.Decoder(list[_Meta])
LINKS = msgspec.json.Decoder(list[_Link])


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
    words = meta_words(agent, images=b"og:image:alt")
    for record in read_records(stream, start, end, max_bytes=MAX_RECORD_BYTES):
        if isinstance(record, PageOutcome):
            counts.pages[record] += 1
        elif RESPONSE in record.content and record.header(b"WARC-Type") == "metadata":
            outcome, rows = _read_record(record, agent, words)
            counts.pages[outcome] += 1
            if rows:
                for lost, images in rows.lost.items():
                    counts.images[lost] += images
            if rows and rows.found:
                counts.images[ImageOutcome.FOUND] += len(rows.found)
                yield rows.found


def _read_record(
    record: Record, agent: str | None, words: Sequence[bytes]
) -> tuple[PageOutcome, PageRows | None]:
    """What became of the page, and its rows."""
    if record.is_cut:
        return PageOutcome.TOO_LARGE, None
    try:
        envelope = DECODER.decode(record.content).envelope
        response, url = envelope.payload.response, envelope.warc.uri
        html = response.html if response else None
        facts = _facts(html.head.metas, agent, words) if html else None
        images = _images(html.links) if html else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return PageOutcome.BAD_RECORD, None
    if not response or not url:
        return PageOutcome.BAD_RECORD, None
    if response.message.status != "200":
        return PageOutcome.HTTP_ERROR, None
    if not html or not facts or not images:
        return PageOutcome.NOT_HTML, None
    tags = response.headers.robots or response.headers.robots_lower
    if is_opt_out(facts.directives) or (tags and opts_out([tags], agent or "")):
        return PageOutcome.OPTED_OUT, None
    return PageOutcome.READ, _page_rows(url, html.head, images, facts.images)


def _facts(raw: msgspec.Raw, agent: str | None, words: Sequence[bytes]) -> MetaFacts:
    lower = bytes(raw).lower()
    # A word that is spelled with escapes is overlooked.
    for word in words:
        if word in lower:
            break
    else:
        return NO_FACTS
    pairs = [
        (name.strip().lower(), meta.content)
        for meta in METAS.decode(raw)
        if (name := meta.property or meta.name) and meta.content
    ]
    return read_metas(pairs, agent)


def _page_rows(url: str, head: _Head, images: _Images, stated: Sequence[StatedImage]) -> PageRows:
    base = BaseUrl(url)
    if head.base and (joined := base.join(head.base)):
        base = BaseUrl(joined)
    rows = PageRows(url, None)
    rows.licence = _licence(head, base)
    _add_images(rows, images, base)
    rows.add_stated(stated, base)
    return rows


def _images(links: msgspec.Raw) -> _Images:
    """The addresses of the images among the links, and their alternative texts.

    Raises:
        DecodeError, UnicodeDecodeError: broken links. Of those that are of no image, the syntax
            alone is looked at, unless an image is spelled in another way.
    """
    content = memoryview(links)
    found = IMAGE.findall(content)
    if content[0] == ord("[") and found:
        urls, alts, ends = zip(*found, strict=True)
        joined = str(b"\n".join(urls + alts), "utf-8")
        texts = joined.split("\n")
        if b"" not in ends and "\\" not in joined and len(texts) == 2 * len(found):
            return texts[: len(found)], texts[len(found) :]
    elif content[0] == ord("["):
        return (), ()
    images = [link for link in LINKS.decode(links) if link.path == IMAGE_PATH]
    return [link.url or "" for link in images], [link.alt or "" for link in images]


def _add_images(rows: PageRows, images: _Images, base: BaseUrl) -> None:
    add, join, page_url, licence = rows.found.append, base.join, rows.page_url, rows.licence
    without_text = 0
    for address, alt in zip(*images, strict=True):
        if not alt or alt.isspace():
            without_text += 1
            continue
        # Some versions of the WAT writer leave character references as they stood.
        url = join(attribute_text(address) if "&" in address else address)
        if url is None:
            rows.lost[why_no_url([address])] += 1
        else:
            text = attribute_text(alt) if "&" in alt else alt
            row = (url, (text,), ALT_ONLY, page_url, None, None, None, None, licence, None)
            add(tuple.__new__(Found, row))
    if without_text:
        rows.lost[ImageOutcome.NO_TEXT] += without_text


def _licence(head: _Head, base: BaseUrl) -> str | None:
    for link in head.link:
        if link.rel and link.url and "license" in link.rel.lower().split():
            return base.join(attribute_text(link.url))
    return None
