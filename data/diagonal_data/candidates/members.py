"""The records of WARC files (ISO 28500), from any part of a file, past what is broken.

A compressed file is a row of gzip members, a record each, as Common Crawl writes them:

    |member|member|mem#er|member|mem        # broken: counted, the next whole one is sought
           start ↑        ↑ end             a part holds the records that begin in [start, end)

However a file is cut, each of its records is read once. Plain WARC files are cut where a line
begins a record after an empty one. Of a long record only the beginning is kept; a member of several
records must fit into what is kept.
"""

import io
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import IO, Any, NamedTuple, cast

from isal import igzip, isal_zlib

from diagonal_data.candidates.file_window import Window
from diagonal_data.candidates.found import PageOutcome

STEP_BYTES = 4_096
"""Compressed bytes that are inflated at a time: at most four MiB come out."""
MAX_HEADER_BYTES = 2**16
USUAL_RECORD_BYTES = 2**14
MAGIC = b"\x1f\x8b\x08"
PLAIN_MAGIC = b"WARC/"
BEFORE_RECORD = b"\r\n\r\n"
# The head of nearly every record, and its length.
USUAL_HEAD = re.compile(
    rb"WARC/[^\r\n]*+\r\n(?:(?!Content-Length: )[^\r\n]++\r\n)*+"
    rb"Content-Length: ([0-9]{1,15})\r\n(?:[^\r\n]++\r\n)*+\r\n"
)


class Record(NamedTuple):
    """One record."""

    head: bytes
    content: bytes
    """Its block, or the beginning of it."""
    is_cut: bool

    def header(self, name: bytes) -> str:
        """What the record says under a name; empty if it says nothing."""
        return header_in(self.head, name).decode("utf-8", "replace")


class _Member(NamedTuple):
    end: int
    content: bytes
    is_cut: bool
    outcome: PageOutcome


NO_MEMBER = _Member(0, b"", False, PageOutcome.BAD_RECORD)


def read_records(
    stream: IO[bytes], start: int = 0, end: int | None = None, *, max_bytes: int
) -> Iterator[Record | PageOutcome]:
    """The records that begin in the part, and for what is none `BAD_RECORD` or `TRUNCATED`.

    Args:
        stream: a file that can seek.
        start: first byte of the part.
        end: behind its last byte; None is the end of the file.
        max_bytes: kept of a record.
    """
    stream.seek(0)
    is_plain = stream.read(len(PLAIN_MAGIC)) == PLAIN_MAGIC
    read = _read_plain if is_plain else _read_packed
    yield from read(Window(stream), start, end, max_bytes + MAX_HEADER_BYTES)


def header_in(head: bytes, name: bytes) -> bytes:
    """The value of a header field of a record or of HTTP; empty if there is none."""
    place = head.find(b"\n" + name + b": ")
    if place >= 0:
        start = place + len(name) + 3
        end = head.find(b"\n", start)
        return head[start : end if end >= 0 else len(head)].strip()
    # Field names are the same in any case, but few writers make use of it.
    found = _field_in_any_case(name).search(head)
    return found[1].strip() if found else b""


@lru_cache(64)
def _field_in_any_case(name: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"\n" + re.escape(name) + rb"[ \t]*:([^\n]*)", re.IGNORECASE)


def _read_packed(
    window: Window, start: int, end: int | None, most: int
) -> Iterator[Record | PageOutcome]:
    """In one stream, which is a third faster than member by member, for as long as all is well."""
    first = _next_member(window, start, end) if start else 0
    if first < 0:
        return
    last = None if end is None else _next_member(window, end, None)
    given = 0
    try:
        with igzip.GzipFile(fileobj=_Part(window.stream, first, last)) as inflated:
            for record in _read_plain(Window(cast(IO[bytes], inflated)), 0, None, most):
                if isinstance(record, PageOutcome):
                    break
                yield record
                given += 1
            else:
                return
    except (EOFError, OSError, isal_zlib.IsalError):  # pyright: ignore[reportGeneralTypeIssues]  # stub: Exception
        pass
    yield from islice(_read_members(Window(window.stream), start, end, most), given, None)


def _next_member(window: Window, position: int, end: int | None) -> int:
    """Where the first member begins from there on and before `end`; -1 if there is none."""
    while position >= 0 and window.at(position, 1):
        if _inflate(window, position, 0).outcome != PageOutcome.BAD_RECORD:
            return position
        position = window.find(MAGIC, position + 1, end)
    return -1


class _Part(io.RawIOBase):
    """The bytes of a file from `start` to `end`."""

    def __init__(self, stream: IO[bytes], start: int, end: int | None) -> None:
        super().__init__()
        self._stream = stream
        self._left = sys.maxsize if end is None or end < 0 else end - start
        stream.seek(start)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        # What is inflated from it can be read past, and nobody goes back.
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._stream.read(min(len(buffer), self._left))
        buffer[: len(piece)] = piece
        self._left -= len(piece)
        return len(piece)


def _read_members(
    window: Window, start: int, end: int | None, most: int
) -> Iterator[Record | PageOutcome]:
    # A part's start is inside a member of the part before, or at the beginning of one.
    is_counted = start > 0
    position = start
    while (end is None or position < end) and window.at(position, 1):
        member = _inflate(window, position, most)
        if member.outcome == PageOutcome.READ:
            is_counted = False
            position = member.end
            yield from _records_in(member)
        elif member.outcome == PageOutcome.TRUNCATED:
            yield member.outcome
            return
        else:
            if not is_counted:
                yield member.outcome
            is_counted = True
            position = window.find(MAGIC, position + 1, end)
            if position < 0:
                return


def _inflate(window: Window, position: int, most: int) -> _Member:
    """The member that begins there: READ, TRUNCATED by the end of the file, or BAD_RECORD."""
    inflater = isal_zlib.decompressobj(31)
    pieces: list[bytes] = []
    kept = 0
    while not inflater.eof:
        packed = window.at(position, STEP_BYTES)
        if not packed:
            return NO_MEMBER._replace(outcome=PageOutcome.TRUNCATED) if kept else NO_MEMBER
        try:
            piece = inflater.decompress(packed)
        except isal_zlib.IsalError:  # pyright: ignore[reportGeneralTypeIssues]  # stub: Exception
            return NO_MEMBER
        position += len(packed)
        if not kept and piece and not piece.startswith(PLAIN_MAGIC[: len(piece)]):
            return NO_MEMBER
        if kept <= most:
            pieces.append(piece)
        kept += len(piece)
    content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    end = position - len(inflater.unused_data)
    outcome = PageOutcome.READ if kept else PageOutcome.BAD_RECORD
    return _Member(end, content[:most] if kept > most else content, kept > most, outcome)


def _records_in(member: _Member) -> Iterator[Record | PageOutcome]:
    """The records of a member, nearly always one."""
    content, position = member.content, 0
    while position < len(content):
        head_end = _head_end(content, position)
        length = _length(content[position:head_end]) if head_end else -1
        if length < 0:
            yield PageOutcome.BAD_RECORD
            return
        last = head_end + length
        rest = content[last : last + 16].lstrip(b"\r\n")
        is_cut = last > len(content)
        # A length that is too large, or one so small that the record goes on behind it.
        if (is_cut and not member.is_cut) or (rest and not rest.startswith(PLAIN_MAGIC)):
            yield PageOutcome.BAD_RECORD
            return
        yield Record(content[position:head_end], content[head_end:last], is_cut)
        position = last + len(content[last : last + 16]) - len(rest)


def _head_end(content: bytes, position: int) -> int:
    """Where the block of the record begins that begins there; 0 if there is no record."""
    if not content.startswith(PLAIN_MAGIC, position):
        return 0
    end = content.find(b"\r\n\r\n", position, position + MAX_HEADER_BYTES)
    return end + 4 if end >= 0 else 0


def _length(head: bytes) -> int:
    length = header_in(head, b"Content-Length")
    return int(length) if length.isdigit() and len(length) < 16 else -1


def _read_plain(
    window: Window, start: int, end: int | None, most: int
) -> Iterator[Record | PageOutcome]:
    position = 0 if start == 0 else _next_plain(window, start - len(BEFORE_RECORD), end)
    while position >= 0 and (end is None or position < end):
        data, first = window.around(position, USUAL_RECORD_BYTES)
        if first == len(data):
            return
        usual = USUAL_HEAD.match(data, first, first + MAX_HEADER_BYTES)
        if usual:
            head_end, length = usual.end(), int(usual[1])
        else:
            data, first = window.around(position, MAX_HEADER_BYTES)
            head_end = _head_end(data, first)
            length = _length(data[first:head_end]) if head_end else -1
        head = data[first:head_end]
        if length < 0:
            yield PageOutcome.BAD_RECORD
            position = _next_plain(window, position, end)
            continue
        content_end = head_end + length
        if length <= most and content_end + len(BEFORE_RECORD) <= len(data):
            content, after = data[head_end:content_end], data[content_end : content_end + 4]
        else:
            content = window.at(position + len(head), min(length, most))
            after = window.at(position + len(head) + length, len(BEFORE_RECORD))
        if len(content) < min(length, most) or not after:
            yield PageOutcome.TRUNCATED
            return
        if after != BEFORE_RECORD[: len(after)]:
            yield PageOutcome.BAD_RECORD
            position = _next_plain(window, position, end)
            continue
        yield Record(head, content, length > most)
        position += len(head) + length + len(after)


def _next_plain(window: Window, position: int, end: int | None) -> int:
    last = None if end is None else end - len(BEFORE_RECORD)
    place = window.find(BEFORE_RECORD + PLAIN_MAGIC, max(position, 0), last)
    return place + len(BEFORE_RECORD) if place >= 0 else -1
