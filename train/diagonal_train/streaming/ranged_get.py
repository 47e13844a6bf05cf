"""Ranges of remote shards, whatever the network does, from any thread.

    fetch(shard, begin, end) ─► requests of at most MAX_REQUEST bytes ─► take(position, bytes)

A request that breaks, stalls, comes short or is refused for now is made again from the first byte
that is missing, after a pause that doubles and is jittered, until the deadline. Every byte is
handed over once, in order. Nothing here waits longer than the deadline.
"""

import asyncio
import concurrent.futures
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from fsspec.asyn import AsyncFileSystem

from diagonal_infra.errors import DiagonalError, StorageError, UserError
from diagonal_infra.object_store import raised_errors
from diagonal_train.streaming.index import ShardFile
from diagonal_train.streaming.range_answers import (
    BusyError,
    RangeAnswer,
    ShortFileError,
    UnfitAnswerError,
    UnwillingError,
    checked,
    filesystem_for,
    opened,
    plain_etag,
)

MAX_REQUEST = 4 * 2**20
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 10.0

Take = Callable[[int, bytes], object]
"""Gets the place of a chunk in the file, and the chunk."""


class ShardChangedError(DiagonalError):
    """A shard is not the file any more that was indexed."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(
            f"shard {path} changed since it was indexed: {what}; "
            "start again so that the index is made anew, or put the old file back"
        )


class _Progress:
    """How far a request came. A request that was given up on can hand over nothing more."""

    def __init__(self, position: int, take: Take) -> None:
        self.position = position
        self._take = take
        self._open = True
        self._lock = threading.Lock()

    def add(self, chunk: bytes) -> None:
        with self._lock:
            if self._open:
                self._take(self.position, chunk)
                self.position += len(chunk)

    def close(self) -> None:
        with self._lock:
            self._open = False


class RangedGets:
    """Fetches ranges of numbered shards. Made after the fork of a worker process."""

    def __init__(
        self, shards: Sequence[ShardFile], *, timeout_seconds: float, deadline_seconds: float
    ) -> None:
        self._shards = shards
        self._timeout = timeout_seconds
        self._deadline = deadline_seconds
        self._etags: dict[int, str] = {}
        self._filesystems: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def fetch(
        self, number: int, begin: int, end: int, take: Take, *, deadline: float | None = None
    ) -> None:
        """Hand the bytes of a shard's range to `take`, in order.

        Args:
            deadline: by `time.monotonic`; None is `deadline_seconds` from now.

        Raises:
            FileNotFoundError, PermissionError: the shard is gone or refused.
            ShortFileError: it ends before the range does, as far as the index knows.
            ShardChangedError: it is not the file that was indexed.
            UserError: the server gives no ranges.
            StorageError: it did not answer in time, or says no.
        """
        deadline = time.monotonic() + self._deadline if deadline is None else deadline
        position, tries, last = begin, 0, None
        while position < end:
            if time.monotonic() >= deadline or self._closed.is_set():
                raise self._late(number, position, end, tries, last) from last
            progress = _Progress(position, take)
            try:
                self._request(number, progress, min(end, position + MAX_REQUEST), deadline)
                last = None
            except (FileNotFoundError, PermissionError, ShortFileError):
                raise
            except (*raised_errors(), BusyError) as error:
                last = error
            finally:
                progress.close()
            tries = 0 if progress.position > position else tries + 1
            position = progress.position
            if last is not None:
                self._closed.wait(min(_pause(tries, last), deadline - time.monotonic()))

    def close(self) -> None:
        """Let fetches that are under way fail soon."""
        self._closed.set()

    def _request(self, number: int, progress: _Progress, end: int, deadline: float) -> None:
        """One request; it raises unless it has brought something."""
        shard, before = self._shards[number], progress.position
        what = f"cannot read bytes {before}-{end - 1} of {shard.path}"
        try:
            self._send(number, progress, end, deadline)
        except ShortFileError as error:
            raise self._short(shard, end, None) from error
        except UnfitAnswerError as error:
            raise UserError(
                f"{what}: {error}; copy the shards to a local disk or to a server that gives "
                "byte ranges"
            ) from error
        except UnwillingError as error:
            raise StorageError(f"{what}: {error}") from error
        if progress.position == before:
            raise ConnectionError("the answer ended before its first byte")

    def _send(self, number: int, progress: _Progress, end: int, deadline: float) -> None:
        path = self._shards[number].path
        filesystem = self._filesystem(path)
        begin, left = progress.position, deadline - time.monotonic()
        if isinstance(filesystem, AsyncFileSystem):
            loop = filesystem.loop
            assert loop is not None, "asked for without asynchronous=True"
            request = self._receive(filesystem, number, progress, end)
            _result(asyncio.run_coroutine_threadsafe(request, loop), left)
            return
        inner = filesystem._strip_protocol(path)
        future = _in_thread(lambda: filesystem.cat_file(inner, start=begin, end=end))
        progress.add(checked(_result(future, min(self._timeout, left)), end - begin))

    async def _receive(self, filesystem: Any, number: int, progress: _Progress, end: int) -> None:
        """Every wait for the next bytes, connecting included, ends at the timeout."""
        path = filesystem._strip_protocol(self._shards[number].path)
        now = asyncio.get_running_loop().time
        async with (
            asyncio.timeout(self._timeout) as limit,
            opened(filesystem, path, progress.position, end) as answer,
        ):
            self._check(number, answer, end)
            async for chunk in answer.chunks:
                progress.add(chunk[: end - progress.position])
                limit.reschedule(now() + self._timeout)

    def _check(self, number: int, answer: RangeAnswer, end: int) -> None:
        """Raise if the answer is of another file than the index."""
        shard = self._shards[number]
        if answer.size is not None:
            if shard.size is not None and answer.size != shard.size:
                raise ShardChangedError(shard.path, f"{answer.size} bytes, not {shard.size}")
            if answer.size < end:
                raise self._short(shard, end, answer.size)
        if answer.etag is not None:
            known = plain_etag(shard.mark) if shard.mark != str(shard.size) else None
            expected = known or self._etags.setdefault(number, answer.etag)
            if answer.etag != expected:
                raise ShardChangedError(shard.path, f"ETag {answer.etag}, not {expected}")

    def _short(self, shard: ShardFile, end: int, size: int | None) -> Exception:
        what = f"it ends before byte {end}" if size is None else f"{size} bytes, {end} expected"
        if shard.size is not None and shard.size >= end:
            return ShardChangedError(shard.path, what)
        return ShortFileError(f"{shard.path}: {what}")

    def _filesystem(self, path: str) -> Any:
        protocol = path.partition("://")[0]
        with self._lock:
            if protocol not in self._filesystems:
                self._filesystems[protocol] = filesystem_for(path)
            return self._filesystems[protocol]

    def _late(
        self, number: int, position: int, end: int, tries: int, last: Exception | None
    ) -> StorageError:
        seconds = f"{self._deadline:g} s (--stream.deadline-seconds)"
        return StorageError(
            f"cannot read bytes {position}-{end - 1} of {self._shards[number].path} within "
            f"{seconds}: {tries} tries in a row brought nothing, the last one: {last!r}"
        )


def _pause(tries: int, error: Exception) -> float:
    doubled = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(tries, 10))
    return max(getattr(error, "after", 0.0), doubled * random.uniform(0.5, 1.0))


def _result(future: concurrent.futures.Future[Any], seconds: float) -> Any:
    try:
        return future.result(max(seconds, 0.0))
    except TimeoutError as error:
        future.cancel()
        raise TimeoutError("nothing came in time (--stream.timeout-seconds)") from error


def _in_thread(call: Callable[[], bytes]) -> concurrent.futures.Future[bytes]:
    """A call that may block for ever, in a thread that does not keep the process alive."""
    future: concurrent.futures.Future[bytes] = concurrent.futures.Future()
    # A running future cannot be cancelled, so that a late result has its place.
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="ranged-get", daemon=True).start()
    return future
