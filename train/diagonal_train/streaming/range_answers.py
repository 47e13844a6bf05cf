"""One request for a byte range, as HTTP servers, S3 and other fsspec file systems answer it.

    opened(filesystem, path, begin, end) ─► RangeAnswer: what the answer says of itself, its bytes

The libraries' own retries are off here, so that times do not multiply: s3fs tries five times on
top of botocore's five, each with pauses, and forgets what a broken answer had brought.

What the request raises: FileNotFoundError and PermissionError for what is gone or refused,
ShortFileError behind the end, UnfitAnswerError and UnwillingError for what asking again does not
help, BusyError for what to ask again later, whatever the libraries raise for the network.
"""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import fsspec.config
from fsspec.core import url_to_fs

from diagonal_data.retry_after import seconds_of
from diagonal_infra.object_store import S3, raised_errors, speaks

HTTP = frozenset({"http", "https"})
CHUNK = 256 * 2**10
"""Most bytes of an answer held in memory at a time."""
GONE = {404, 410}
REFUSED = {401, 403}
BEYOND_THE_END = 416
BUSY = {408, 425, 429}
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class BusyError(Exception):
    """The server asks to come again; `after` says in how many seconds, if it does."""

    def __init__(self, message: str, after: float = 0.0) -> None:
        super().__init__(message)
        self.after = after


class UnwillingError(Exception):
    """The server says no to the request itself, such as one signed with an old token."""


class UnfitAnswerError(Exception):
    """An answer that is not the range: the server gives none."""


class ShortFileError(OSError):
    """The file ends before the range does."""


@dataclass(frozen=True, kw_only=True)
class RangeAnswer:
    """What a server says of the range it sends; None is what it does not say."""

    chunks: AsyncIterator[bytes]
    size: int | None = None
    """Of the whole file."""
    etag: str | None = None
    """Without quotes and weakness."""


def filesystem_for(path: str) -> Any:
    """The file system of a remote shard, without retries of its own."""
    filesystem = url_to_fs(path)[0]
    if not speaks(filesystem, S3):
        return filesystem
    configured = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
    own = configured | {"retries": {"mode": "standard", "total_max_attempts": 1}}
    return url_to_fs(path, config_kwargs=own)[0]


@asynccontextmanager
async def opened(filesystem: Any, path: str, begin: int, end: int) -> AsyncIterator[RangeAnswer]:
    """The answer to one request for bytes `begin` to before `end`; it may bring fewer."""
    if speaks(filesystem, HTTP):
        answer = _opened_http(filesystem, path, begin, end)
    elif speaks(filesystem, S3):
        answer = _opened_s3(filesystem, path, begin, end)
    else:
        answer = _opened_other(filesystem, path, begin, end)
    async with answer as said:
        yield said


@asynccontextmanager
async def _opened_http(
    filesystem: Any, url: str, begin: int, end: int
) -> AsyncIterator[RangeAnswer]:
    session = await filesystem.set_session()
    # Offsets count the file's own bytes, not those of a compressed transfer.
    own = {"Range": f"bytes={begin}-{end - 1}", "Accept-Encoding": "identity"}
    options = filesystem.kwargs | {"headers": filesystem.kwargs.get("headers", {}) | own}
    async with session.get(filesystem.encode_url(url), **options) as response:
        _check_status(response.status, response.headers)
        yield RangeAnswer(
            chunks=response.content.iter_chunked(CHUNK),
            size=_size_said(response.headers.get("Content-Range"), begin),
            etag=plain_etag(response.headers.get("ETag", "")),
        )


@asynccontextmanager
async def _opened_s3(
    filesystem: Any, path: str, begin: int, end: int
) -> AsyncIterator[RangeAnswer]:
    bucket, key, version = filesystem.split_path(path)
    wanted = {"Bucket": bucket, "Key": key, "Range": f"bytes={begin}-{end - 1}"}
    if version:
        wanted["VersionId"] = version
    await filesystem.set_session()
    client = await filesystem.get_s3(bucket)
    options = filesystem._get_s3_method_kwargs(client.get_object, **wanted)
    try:
        answer = await client.get_object(**options)
    except raised_errors() as error:
        _raise_for_s3(error)
        raise
    async with answer["Body"] as body:
        yield RangeAnswer(
            chunks=body.iter_chunks(CHUNK),
            size=_size_said(answer.get("ContentRange"), begin),
            etag=plain_etag(answer.get("ETag", "")),
        )


def _raise_for_s3(error: Exception) -> None:
    """The error of a botocore ClientError's status; nothing for errors without an answer."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return
    said = response.get("ResponseMetadata", {})
    if response.get("Error", {}).get("Code") == "RequestTimeout":
        raise BusyError(str(error)) from error
    _check_status(said.get("HTTPStatusCode", 0), said.get("HTTPHeaders", {}), str(error))


@asynccontextmanager
async def _opened_other(
    filesystem: Any, path: str, begin: int, end: int
) -> AsyncIterator[RangeAnswer]:
    content = await filesystem._cat_file(path, start=begin, end=end)
    yield RangeAnswer(chunks=_one_chunk(checked(content, end - begin)))


async def _one_chunk(content: bytes) -> AsyncIterator[bytes]:
    yield content


def checked(content: bytes, most: int) -> bytes:
    """What a file system that says nothing of its answer gave for `most` bytes."""
    if not content:
        raise ShortFileError("the file ends before the range")
    if len(content) > most:
        raise UnfitAnswerError(f"{most} bytes were asked for and {len(content)} came")
    return content


def plain_etag(etag: str) -> str | None:
    """`W/"abc"` → `abc`: what two libraries' ways to write it share."""
    return etag.removeprefix("W/").strip('"') or None


def _check_status(status: int, headers: Mapping[str, str], message: str = "") -> None:
    """Raise unless the answer is a part of the file."""
    message = message or f"answered {status}"
    if status == 206:
        return
    if status in GONE:
        raise FileNotFoundError(message)
    if status in REFUSED:
        raise PermissionError(message)
    if status == BEYOND_THE_END:
        raise ShortFileError(message)
    if status in BUSY or status >= 500:
        after = next((v for k, v in headers.items() if k.lower() == "retry-after"), "")
        raise BusyError(message, seconds_of(after) or 0.0)
    if status == 200:
        raise UnfitAnswerError("answered with the whole file instead of the range asked for")
    raise UnwillingError(message)


def _size_said(content_range: str | None, begin: int) -> int | None:
    """The file's size out of `bytes 0-99/1234`."""
    said = CONTENT_RANGE.fullmatch(content_range or "")
    if said is None or int(said[1]) != begin:
        raise UnfitAnswerError(f"asked for bytes from {begin} on, got {content_range!r}")
    return None if said[2] == "*" else int(said[2])
