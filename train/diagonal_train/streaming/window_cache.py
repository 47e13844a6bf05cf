"""Windows of remote shards on the local disk, within a bound.

    FOLDER/<sha256>.window     a whole window: samples at their place, holes between the runs
    FOLDER/<sha256>.partial    one that a process is filling, and holds the kernel's lock of
    FOLDER/.lock               held while somebody makes room

Crash guarantee: a `.window` is whole, because it is synced before it gets that name. A `.partial`
whose writer is dead is removed by whoever makes room next. The bound is on the space of all files,
reserved before anything is fetched, so that processes sharing a folder stay below it together; the
windows used longest ago go first. One that is open when it goes stays readable, and its space is
free once it is closed.

Without a folder a window is a file without a name, which goes with its descriptor.
"""

import errno
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from diagonal_infra.errors import DISK_FULL, UserError
from diagonal_train.streaming.index import ShardFile
from diagonal_train.streaming.window import Runs, Window

WHOLE = ".window"
PARTIAL = ".partial"
LOCK = ".lock"
POLL_SECONDS = 0.02
STAT_BLOCK = 512
"""Unit of `st_blocks`."""
PAGE = 4096
"""What a file system rounds a run's ends to."""

Fill = Callable[[int], object]
"""Writes the runs to a descriptor."""


class CacheError(Exception):
    """A window cannot be kept on disk; it can still be read from the store."""


def write_at(descriptor: int, offset: int, chunk: bytes) -> None:
    """Write all of `chunk`.

    Raises:
        CacheError: the disk does not take it.
    """
    view = memoryview(chunk)
    try:
        while view:
            written = os.pwrite(descriptor, view, offset)
            view, offset = view[written:], offset + written
    except OSError as error:
        raise CacheError(str(error)) from error


def window_name(shard: ShardFile, window: Window, runs: Runs) -> str:
    """What a window is called: other bytes have another name."""
    said = (shard.path, shard.mark, shard.size, window.begin, window.end, runs.begins, runs.ends)
    return hashlib.sha256(repr(said).encode()).hexdigest()


class UnnamedFiles:
    """The cache of a single process: nothing is left when it ends, however it ends."""

    def filled(self, shard: ShardFile, window: Window, runs: Runs, fill: Fill) -> int:
        """A descriptor of the window's bytes, written by `fill`; the caller closes it.

        Raises:
            CacheError: there is no room on the disk.
        """
        with _cache_errors(), tempfile.TemporaryFile(buffering=0) as file:
            descriptor = os.dup(file.fileno())
        try:
            with _cache_errors():
                _reserve(descriptor, window, runs)
            fill(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


@dataclass(frozen=True, kw_only=True)
class SharedFolder:
    """The cache of all processes of a node that name the same folder."""

    folder: Path
    max_bytes: int
    patience_seconds: float
    """Longest wait for another process that fills the same window or makes room."""

    def __post_init__(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"cannot make the folder {str(self.folder)!r}: {error}; choose another "
                "--stream.window-cache or None"
            ) from error

    def filled(self, shard: ShardFile, window: Window, runs: Runs, fill: Fill) -> int:
        """As `UnnamedFiles.filled`; a window that is there already is not filled again."""
        whole = self.folder / (window_name(shard, window, runs) + WHOLE)
        with _cache_errors():
            descriptor, is_whole = self._open(whole, window.end - window.begin)
        if is_whole:
            return descriptor
        partial = whole.with_suffix(PARTIAL)
        try:
            with _cache_errors():
                self._make_room(descriptor, window, runs)
            fill(descriptor)
            with _cache_errors():
                os.fdatasync(descriptor)
                partial.rename(whole)
        except BaseException:
            partial.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        return descriptor

    def _open(self, whole: Path, size: int) -> tuple[int, bool]:
        """The whole window and True, or a partial one that is ours to fill and False."""
        partial = whole.with_suffix(PARTIAL)
        deadline = time.monotonic() + self.patience_seconds
        while (descriptor := _open_whole(whole, size)) is None:
            if (claim := _claim(partial)) is not None:
                # It may have become whole between the two looks.
                if (descriptor := _open_whole(whole, size)) is None:
                    return claim, False
                partial.unlink(missing_ok=True)
                os.close(claim)
                break
            _wait(partial, deadline)
        return descriptor, True

    def _make_room(self, descriptor: int, window: Window, runs: Runs) -> None:
        """Reserve the window's space within the bound and on the disk."""
        needed = runs.num_bytes + len(runs.begins) * 2 * PAGE
        with _locked(self.folder / LOCK, self.patience_seconds):
            over = self._used() + needed - self.max_bytes
            if over > self._evict(over):
                raise OSError(errno.ENOSPC, "--stream.window-cache-gb is less than what is in use")
            try:
                _reserve(descriptor, window, runs)
            except OSError as error:
                if error.errno not in DISK_FULL:
                    raise
                self._evict(needed)
                _reserve(descriptor, window, runs)

    def _used(self) -> int:
        """Bytes on disk, after what dead writers left is gone."""
        for partial in self.folder.glob("*" + PARTIAL):
            if (claim := _claim(partial, create=False)) is not None:
                partial.unlink(missing_ok=True)
                os.close(claim)
        return sum(stat.st_blocks * STAT_BLOCK for _, stat in self._files())

    def _evict(self, wanted: int) -> int:
        """Remove the windows used longest ago, and say how many bytes went."""
        windows = [(path, stat) for path, stat in self._files() if path.suffix == WHOLE]
        freed = 0
        for path, stat in sorted(windows, key=lambda window: window[1].st_mtime_ns):
            if freed >= wanted:
                break
            path.unlink(missing_ok=True)
            freed += stat.st_blocks * STAT_BLOCK
        return freed

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self.folder.iterdir():
            # Another process may rename or remove it just now.
            with suppress(FileNotFoundError):
                yield path, path.stat()


def _open_whole(path: Path, size: int) -> int | None:
    """A descriptor of a whole window, which counts as used now."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    if os.fstat(descriptor).st_size != size:
        path.unlink(missing_ok=True)
        os.close(descriptor)
        return None
    # The folder may be another user's: then the window only ages.
    with suppress(PermissionError):
        os.utime(descriptor)
    return descriptor


def _claim(path: Path, *, create: bool = True) -> int | None:
    """A descriptor of a partial window that no living process holds, locked; None if one does."""
    try:
        descriptor = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o666)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held it before may have renamed or removed it.
        if path.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


@contextmanager
def _locked(path: Path, patience_seconds: float) -> Iterator[None]:
    deadline = time.monotonic() + patience_seconds
    with path.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                _wait(path, deadline)
        yield


def _wait(path: Path, deadline: float) -> None:
    if time.monotonic() >= deadline:
        raise TimeoutError(f"another process held {path} too long")
    time.sleep(POLL_SECONDS)


def _reserve(descriptor: int, window: Window, runs: Runs) -> None:
    """Take the runs' space on the disk now, and give the file its size."""
    for begin, end in zip(runs.begins, runs.ends, strict=True):
        os.posix_fallocate(descriptor, begin - window.begin, end - begin)
    os.ftruncate(descriptor, window.end - window.begin)


@contextmanager
def _cache_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CacheError(str(error)) from error
