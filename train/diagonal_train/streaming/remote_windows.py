"""Windows of remote shards, fetched to the local disk before they are read.

    expect ─► queue ─► fetching threads: RangedGets ─► a file of the cache ─► read: pread

The bytes are on disk, so memory stays constant however many windows are expected. A read waits for
its window; one that no thread has begun is fetched by the reader itself. Where the disk has no
room, samples are read one by one from the store.
"""

import bisect
import logging
import os
import queue
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from diagonal_infra.errors import StorageError
from diagonal_train.streaming.config import LoaderConfig
from diagonal_train.streaming.index import ShardFile
from diagonal_train.streaming.ranged_get import RangedGets
from diagonal_train.streaming.window import Runs, Window
from diagonal_train.streaming.window_cache import CacheError, SharedFolder, UnnamedFiles, write_at

FETCHING_THREADS = 8
"""Windows fetched at the same time by one process: they wait for the network, not for a core."""
GRACE_SECONDS = 5.0
"""What a fetch may take beyond its waits, which all have deadlines."""
GONE = (FileNotFoundError, PermissionError)
"""Of the whole shard, so that its other samples need not be asked for."""
logger = logging.getLogger(__name__)


@dataclass(kw_only=True, eq=False)
class _Fetch:
    """One expected window. Fields below `lock` change under it; all is final once `done` is set."""

    window: Window
    runs: Runs
    done: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    begun: bool = False
    released: bool = False
    descriptor: int | None = None
    """Of the window's file; None when the disk had no room for it."""
    error: Exception | None = None

    def begin(self) -> bool:
        """Whether the caller is the one to fetch it."""
        with self.lock:
            mine = not self.begun and not self.released
            self.begun = True
            return mine

    def finish(self, descriptor: int | None, error: Exception | None) -> None:
        with self.lock:
            if self.released and descriptor is not None:
                os.close(descriptor)
                descriptor = None
            self.descriptor, self.error = descriptor, error
        self.done.set()

    def release(self) -> None:
        with self.lock:
            self.released = True
            if self.descriptor is not None:
                os.close(self.descriptor)
                self.descriptor = None

    def holds(self, offset: int, length: int) -> bool:
        """Whether a sample is in one of the runs: the holes between them read as zeros."""
        run = bisect.bisect_right(self.runs.begins, offset) - 1
        return run >= 0 and offset + length <= self.runs.ends[run]


class RemoteWindows:
    """Reads samples of remote shards; used by one thread, made after the fork."""

    def __init__(self, shards: Sequence[ShardFile], config: LoaderConfig) -> None:
        self._shards = shards
        self._config = config
        self._gets = RangedGets(
            shards,
            timeout_seconds=config.timeout_seconds,
            deadline_seconds=config.deadline_seconds,
        )
        self._cache = cache_for(config)
        self._fetches: dict[Window, _Fetch] = {}
        self._queue: queue.SimpleQueue[_Fetch | None] = queue.SimpleQueue()
        self._num_threads = 0
        self._gone: dict[int, OSError] = {}
        self._warned = False

    def expect(self, window: Window, runs: Runs) -> None:
        """Have the window's runs fetched in the background."""
        if window in self._fetches:
            return
        fetch = self._fetches[window] = _Fetch(window=window, runs=runs)
        self._queue.put(fetch)
        if self._num_threads < FETCHING_THREADS:
            self._num_threads += 1
            threading.Thread(target=self._work, name="fetch-windows", daemon=True).start()

    def read(self, window: Window, offset: int, length: int) -> bytes:
        """A sample's bytes, once its window is there.

        Raises:
            OSError: the shard is gone, refused or short.
            StorageError, ShardChangedError, UserError: as `RangedGets.fetch`.
        """
        fetch = self._fetches.get(window)
        if fetch is None:
            return self.read_alone(window.shard, offset, length)
        if not fetch.done.is_set():
            self._wait_for(fetch)
        if fetch.error is not None:
            raise fetch.error.with_traceback(None)
        if fetch.descriptor is not None and fetch.holds(offset, length):
            # A broken disk is no broken sample.
            with suppress(OSError):
                content = os.pread(fetch.descriptor, length, offset - window.begin)
                if len(content) == length:
                    return content
        return self.read_alone(window.shard, offset, length)

    def read_alone(self, shard: int, offset: int, length: int) -> bytes:
        """A sample's bytes from the store; errors as `read`."""
        if shard in self._gone:
            raise self._gone[shard].with_traceback(None)
        chunks: list[bytes] = []
        try:
            self._gets.fetch(shard, offset, offset + length, lambda _, chunk: chunks.append(chunk))
        except GONE as error:
            self._gone[shard] = error
            raise
        return b"".join(chunks)

    def release(self, window: Window) -> None:
        """Give the window's file back."""
        if (fetch := self._fetches.pop(window, None)) is not None:
            fetch.release()

    def close(self) -> None:
        """Release all; threads that fetch end soon, and nobody waits for them."""
        self._gets.close()
        for window in list(self._fetches):
            self.release(window)
        for _ in range(self._num_threads):
            self._queue.put(None)

    def _wait_for(self, fetch: _Fetch) -> None:
        if fetch.begin():
            self._fetch(fetch)
            return
        seconds = self._config.deadline_seconds + 2 * self._config.timeout_seconds + GRACE_SECONDS
        if not fetch.done.wait(seconds):
            window = fetch.window
            raise StorageError(
                f"bytes {window.begin}-{window.end - 1} of {self._shards[window.shard].path} were "
                f"not on disk {seconds:g} s after they were asked for"
            )

    def _work(self) -> None:
        while (fetch := self._queue.get()) is not None:
            if fetch.begin():
                self._fetch(fetch)

    def _fetch(self, fetch: _Fetch) -> None:
        """Fill the window's file. Whatever goes wrong is raised where the window is read."""
        shard, window = self._shards[fetch.window.shard], fetch.window
        descriptor, failure = None, None
        try:
            if window.shard in self._gone:
                raise self._gone[window.shard].with_traceback(None)
            descriptor = self._cache.filled(
                shard, window, fetch.runs, lambda target: self._fill(target, fetch)
            )
        except CacheError as error:
            self._warn(error)
        except GONE as error:
            self._gone[window.shard] = failure = error
        except Exception as error:
            # The thread's border: unheard, it would leave the reader waiting.
            failure = error
        fetch.finish(descriptor, failure)

    def _fill(self, descriptor: int, fetch: _Fetch) -> None:
        deadline = time.monotonic() + self._config.deadline_seconds
        first = fetch.window.begin
        for begin, end in zip(fetch.runs.begins, fetch.runs.ends, strict=True):
            self._gets.fetch(
                fetch.window.shard,
                begin,
                end,
                lambda position, chunk: write_at(descriptor, position - first, chunk),
                deadline=deadline,
            )

    def _warn(self, error: CacheError) -> None:
        if not self._warned:
            self._warned = True
            logger.warning("windows are read without the disk, more slowly: %s", error)


def cache_for(config: LoaderConfig) -> UnnamedFiles | SharedFolder:
    """Where windows lie."""
    if config.window_cache is None:
        return UnnamedFiles()
    return SharedFolder(
        folder=Path(config.window_cache),
        max_bytes=int(config.window_cache_gb * 1e9),
        patience_seconds=config.timeout_seconds,
    )
