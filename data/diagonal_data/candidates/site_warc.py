"""What a crawl was answered, in WARC 1.1 (ISO 28500), and what it needs to go on after a kill.

    FOLDER/site-00000.warc.gz    one gzip member per record, the next file from 1 GiB on
        warcinfo                 first of each file
        request, response        of a page that was read: for the `warc` reader and anybody's tools
        metadata                 of every page asked for, after its other records: `outcome`,
                                 `detail` and its links (`outlink`), as application/warc-fields

A page counts as visited when its metadata record is there whole. A kill cuts off at most what came
after the last of them; `CrawlLog` removes that, and the page is asked for again. So are those that
follow a damaged record. An answer is as the client gives it: content codings are undone, and of a
long page the beginning stands there, marked `WARC-Truncated`.
"""

import gzip
import os
import re
import uuid
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import IO, Self

from diagonal_data.addresses import http_url
from diagonal_data.response import Response

FILE_BYTES = 2**30
"""From this size on the next file is begun."""
CHUNK_BYTES = 2**18
COMPRESSION = 6
# What the client has undone; and cookies, which are nobody's to keep.
LEFT_OUT = frozenset({"content-encoding", "content-length", "transfer-encoding", "set-cookie"})
LINE_END = b"\r\n"
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]+")


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One page that was asked for, and what the crawl needs to know of it."""

    url: str
    """As asked for."""
    outcome: str
    """A `PageOutcome` or a `Reason`."""
    detail: str | None = None
    links: Sequence[str] = ()
    """Pages to go on to."""


class CrawlLog:
    """The WARC files of one crawl: visits are appended, and found again by their URL."""

    def __init__(self, folder: Path, user_agent: str) -> None:
        self._folder = folder
        self._user_agent = user_agent
        self._places: dict[str, tuple[Path, int]] = {}
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        paths = warc_files(self._folder)
        self._number = max(len(paths) - 1, 0)
        ends = [self._index(path) for path in paths]
        if paths:
            os.truncate(paths[-1], ends[-1])
            self._file = paths[-1].open("ab")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def visit_of(self, url: str) -> Visit | None:
        """What is written of a URL, the last word if it was asked for more than once."""
        if url not in self._places:
            return None
        path, place = self._places[url]
        with path.open("rb") as file:
            file.seek(place)
            record, _ = next(_members(file))
        return _read_visit(record)

    def add(self, visit: Visit, response: Response | None = None, *, whole: bool = True) -> None:
        """Write a visit, with the answer if it is to be read again; it survives a kill from now on.

        Args:
            visit: what the crawl needs to know.
            response: with the part of the body that is kept.
            whole: whether that is all of the body.
        """
        file = self._open()
        if response is not None:
            file.write(_exchange(response, self._user_agent, whole=whole))
        self._places[visit.url] = (self._path, file.tell())
        file.write(_record("metadata", visit.url, _FIELDS, _visit_block(visit)))
        file.flush()

    @property
    def _path(self) -> Path:
        return self._folder / f"site-{self._number:05d}.warc.gz"

    def _open(self) -> IO[bytes]:
        if self._file is not None and self._file.tell() >= FILE_BYTES:
            self._file.close()
            self._file, self._number = None, self._number + 1
        if self._file is None:
            self._file = self._path.open("wb")
        if self._file.tell() == 0:
            block = _fields([("software", self._user_agent), ("format", "WARC File Format 1.1")])
            self._file.write(_record("warcinfo", None, _FIELDS, block))
        return self._file

    def _index(self, path: Path) -> int:
        """Note the visits of a file; gives where the last of them ends."""
        complete = place = 0
        with path.open("rb") as file:
            for record, end in _members(file):
                if _header(record, b"WARC-Type") == "metadata":
                    self._places[_header(record, b"WARC-Target-URI") or ""] = (path, place)
                    complete = end
                place = end
        return complete


def warc_files(folder: Path) -> list[Path]:
    """The files of a crawl, in order."""
    return sorted(folder.glob("site-*.warc.gz"))


def _members(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Whole gzip members from where the file stands, and where each ends; stops at a torn one."""
    rest, end = b"", file.tell()
    while True:
        inflater, parts = zlib.decompressobj(wbits=31), []
        while not inflater.eof:
            rest = rest or file.read(CHUNK_BYTES)
            if not rest:
                return
            end += len(rest)
            try:
                parts.append(inflater.decompress(rest))
            except zlib.error:
                return
            rest = inflater.unused_data
            end -= len(rest)
        yield b"".join(parts), end


def _exchange(response: Response, user_agent: str, *, whole: bool) -> bytes:
    """The request and the response, each a member."""
    url, body = response.final_url, response.body or b""
    address = http_url(url)
    assert address is not None, url
    lines = [
        f"GET {address.raw_path_qs} HTTP/1.1",
        f"Host: {address.raw_authority}",
        f"User-Agent: {user_agent}",
        "Accept: */*",
    ]
    answer_id = _new_id()
    request = _record("request", url, _REQUEST, _http(lines), [("WARC-Concurrent-To", answer_id)])
    status = response.http_status or 200
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
    lines = [f"HTTP/1.1 {status} {phrase}"]
    lines += [f"{k}: {_one_line(v)}" for k, v in response.headers.items() if k not in LEFT_OUT]
    lines.append(f"content-length: {len(body)}")
    extra = [] if whole else [("WARC-Truncated", "length")]
    block = _http(lines) + body
    return request + _record("response", url, _RESPONSE, block, extra, record_id=answer_id)


_FIELDS = "application/warc-fields"
_REQUEST = "application/http;msgtype=request"
_RESPONSE = "application/http;msgtype=response"


def _record(
    kind: str,
    url: str | None,
    content_type: str,
    block: bytes,
    extra: Sequence[tuple[str, str]] = (),
    *,
    record_id: str | None = None,
) -> bytes:
    """One record as a gzip member."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    head = [
        ("WARC-Type", kind),
        *([] if url is None else [("WARC-Target-URI", url)]),
        ("WARC-Date", now),
        ("WARC-Record-ID", record_id or _new_id()),
        *extra,
        ("Content-Type", content_type),
        ("Content-Length", str(len(block))),
    ]
    content = b"WARC/1.1\r\n" + _fields(head) + LINE_END + block + 2 * LINE_END
    return gzip.compress(content, COMPRESSION, mtime=0)


def _visit_block(visit: Visit) -> bytes:
    detail = [] if visit.detail is None else [("detail", visit.detail)]
    links = [("outlink", link) for link in visit.links]
    return _fields([("outcome", visit.outcome), *detail, *links])


def _read_visit(record: bytes) -> Visit:
    head, _, block = record.partition(2 * LINE_END)
    fields = [line.partition(b": ")[::2] for line in block.strip(LINE_END).split(LINE_END)]
    named = {name: value.decode() for name, value in fields}
    return Visit(
        url=_header(head, b"WARC-Target-URI") or "",
        outcome=named[b"outcome"],
        detail=named.get(b"detail"),
        links=[value.decode() for name, value in fields if name == b"outlink"],
    )


def _header(record: bytes, name: bytes) -> str | None:
    head = record.partition(2 * LINE_END)[0]
    for line in head.split(LINE_END):
        key, _, value = line.partition(b": ")
        if key == name:
            return value.decode()
    return None


def _fields(named: Sequence[tuple[str, str]]) -> bytes:
    return b"".join(f"{name}: {_one_line(value)}\r\n".encode() for name, value in named)


def _http(lines: Sequence[str]) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode()


def _one_line(value: str) -> str:
    return UNPRINTABLE.sub(" ", value).encode("utf-8", "replace").decode()


def _new_id() -> str:
    return f"<urn:uuid:{uuid.uuid4()}>"
