"""Images of the HTML pages in WARC files: responses as Common Crawl and other crawlers keep them.

A page is a response record with status 200, an HTML type, and no header that opts out of training.
"""

import re
from collections.abc import Iterator
from typing import IO

import brotli
from isal import isal_zlib

from diagonal_data.candidates.found import Found, PageOutcome, ReadCounts
from diagonal_data.candidates.members import Record, header_in, read_records
from diagonal_data.candidates.page import MAX_PAGE_BYTES, Page, read_page
from diagonal_data.opt_outs import opt_out_in_headers

MAX_RECORD_BYTES = MAX_PAGE_BYTES + 2**16
"""Kept of a response: its headers and what is read of a page."""
STATUS = re.compile(rb"HTTP/[0-9.]{1,4} +([0-9]{3})")
HEADER_END = re.compile(rb"\r?\n\r?\n")
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[^\r\n]{0,200}\r?\n")
HTML_TYPES = ("text/html", "application/xhtml+xml")
OPT_OUT_HEADERS = (b"tdm-reservation", b"content-usage")
CHARSET = re.compile(r"charset\s*=\s*[\"']?([^\s\"';]+)", re.IGNORECASE)
WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def read_warc(
    stream: IO[bytes],
    counts: ReadCounts,
    *,
    start: int = 0,
    end: int | None = None,
    agent: str | None = None,
) -> Iterator[list[Found]]:
    """The images of each page whose response begins in the part, page by page.

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
        elif record.header(b"WARC-Type") == "response":
            page = _read_response(record, agent)
            counts.pages[page.outcome] += 1
            counts.images.update(page.images)
            if page.found:
                yield page.found


def _read_response(record: Record, agent: str | None) -> Page:
    url = record.header(b"WARC-Target-URI").strip("<>")
    if not url.lower().startswith(("http://", "https://")):
        # Of DNS answers and the like.
        return Page(outcome=PageOutcome.NOT_HTML)
    status = STATUS.match(record.content)
    head_end = HEADER_END.search(record.content)
    if not status or not head_end:
        return Page(outcome=PageOutcome.BAD_RECORD)
    if status[1] != b"200":
        return Page(outcome=PageOutcome.HTTP_ERROR)
    head = record.content[: head_end.start()]
    kind, _, parameters = _field(head, b"Content-Type").partition(";")
    if kind.strip().lower() not in HTML_TYPES:
        return Page(outcome=PageOutcome.NOT_HTML)
    if _opts_out(head, agent):
        return Page(outcome=PageOutcome.OPTED_OUT)
    charset = CHARSET.search(parameters)
    body = _decoded(record.content[head_end.end() :], head)
    if body is None:
        return Page(outcome=PageOutcome.BAD_RECORD)
    known = charset[1] if charset else None
    return read_page(body, url, charset=known, agent=agent, with_links=False)


def _field(head: bytes, name: bytes) -> str:
    return header_in(head, name).decode("latin-1")


def _opts_out(head: bytes, agent: str | None) -> bool:
    lower = head.lower()
    if not any(name in lower for name in (b"x-robots-tag", *OPT_OUT_HEADERS)):
        return False
    tags = re.findall(rb"\nx-robots-tag[ \t]*:([^\n]*)", lower)
    others = {name.decode(): _field(head, name) for name in OPT_OUT_HEADERS}
    texts = [tag.decode("latin-1").strip() for tag in tags]
    return opt_out_in_headers(others, texts, agent or "") is not None


def _decoded(body: bytes, head: bytes) -> bytes | None:
    """The page's own bytes, at most what is read of it; None if they cannot be had.

    Crawlers differ in what they undo before they write, and not in the headers that they leave: a
    body that is not encoded as its header says is taken as it is.
    """
    if "chunked" in _field(head, b"Transfer-Encoding").lower():
        body = _joined_chunks(body)
    for encoding in reversed(_field(head, b"Content-Encoding").lower().split(",")):
        encoding = encoding.strip()
        if encoding in WINDOW_BITS:
            body = _inflated(body, WINDOW_BITS[encoding])
        elif encoding == "br" and not _is_markup(body):
            try:
                body = brotli.Decompressor().process(body, output_buffer_limit=MAX_PAGE_BYTES)
            except brotli.error:
                body = b""
            if not body:
                return None
        elif encoding not in ("", "identity", "none", "utf-8") and not _is_markup(body):
            return None
    return body


def _joined_chunks(body: bytes) -> bytes:
    pieces = []
    position = 0
    while (size := CHUNK.match(body, position)) and (length := int(size[1], 16)):
        pieces.append(body[size.end() : size.end() + length])
        position = size.end() + length + 2
    return b"".join(pieces) if pieces else body


def _inflated(body: bytes, window_bits: int) -> bytes:
    """What could be inflated; the body itself if that is nothing."""
    for bits in (window_bits, -15) if window_bits == 15 else (window_bits,):
        inflater = isal_zlib.decompressobj(bits)
        try:
            page = inflater.decompress(body, MAX_PAGE_BYTES)
        except isal_zlib.IsalError:  # pyright: ignore[reportGeneralTypeIssues]  # stub: Exception
            continue
        return page
    return body


def _is_markup(body: bytes) -> bool:
    return body[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
