"""Bytes of samples out of shard tars, local or remote; and the pair in them.

local   pread, with the kernel's own read-ahead told what comes next
remote  windows fetched to the local disk in the background (remote_windows.py)
"""

import errno
import os
import re
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from diagonal_data.tar import IMAGE_EXTENSIONS, parse_sample
from diagonal_infra import storage
from diagonal_infra.errors import StorageError
from diagonal_train.streaming.config import LoaderConfig
from diagonal_train.streaming.index import ShardFile
from diagonal_train.streaming.ranged_get import ShardChangedError
from diagonal_train.streaming.remote_windows import RemoteWindows
from diagonal_train.streaming.window import Window, merged_runs

MAX_OPEN_FILES = 64
NOT_THE_FILES_FAULT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
LOCAL_MARK = re.compile(r"\d+-\d+")
"""Size and mtime in nanoseconds."""


class BadSampleError(Exception):
    """A sample that cannot be used; its argument is one of `stream.CAUSES`.

    Callers count it, or make a StorageError of it.
    """


def image_and_members(content: bytes) -> tuple[bytes, dict[str, bytes]]:
    """The image among a sample's bytes, and all its members by extension.

    Raises:
        BadSampleError: with the cause.
    """
    try:
        members = parse_sample(content).members
    except ValueError as error:
        raise BadSampleError("tar_broken") from error
    image = next((members[e] for e in IMAGE_EXTENSIONS if e in members), None)
    if image is None:
        raise BadSampleError("image_missing")
    return image, members


class ShardReader:
    """Reads samples of numbered shards; for one thread of one process.

    Nothing is opened before the first read, so that a worker process opens its own. All reads
    raise `BadSampleError("read_failed")` for what is gone or unreadable for good, `StorageError`
    when a store did not answer in time, `ShardChangedError` when a shard is not the indexed one.
    """

    def __init__(self, shards: Sequence[ShardFile], config: LoaderConfig) -> None:
        self._shards = shards
        self._config = config
        self._local: dict[int, str | None] = {}
        self._descriptors: OrderedDict[int, int] = OrderedDict()
        self._remote: RemoteWindows | None = None

    def expect(self, window: Window, offsets: np.ndarray, lengths: np.ndarray) -> None:
        """Have these samples of a window ready soon; what fails here is raised by `read`."""
        runs = merged_runs(offsets, lengths)
        path = self._local_path(window.shard)
        if path is None:
            self._remote_windows().expect(window, runs)
            return
        try:
            # Not one of the kept descriptors: it would push out one that is read next.
            descriptor = os.open(path, os.O_RDONLY)
        except OSError:
            return
        for begin, end in zip(runs.begins, runs.ends, strict=True):
            os.posix_fadvise(descriptor, begin, end - begin, os.POSIX_FADV_WILLNEED)
        os.close(descriptor)

    def read(self, window: Window, offset: int, length: int) -> bytes:
        """The bytes of a sample of a window."""
        shard = window.shard
        descriptor = self._descriptors.get(shard)
        try:
            if descriptor is None:
                path = self._local_path(shard)
                if path is None:
                    return self._remote_windows().read(window, offset, length)
                descriptor = self._opened(shard, path)
            self._descriptors.move_to_end(shard)
            content = os.pread(descriptor, length, offset)
        except OSError as error:
            raise self._failure(shard, error) from error
        if len(content) < length:
            raise BadSampleError("read_failed")
        return content

    def read_alone(self, shard: int, offset: int, length: int) -> bytes:
        """The bytes of a sample outside of any window."""
        try:
            path = self._local_path(shard)
            if path is None:
                return self._remote_windows().read_alone(shard, offset, length)
            descriptor = self._checked(shard, path)
            try:
                content = os.pread(descriptor, length, offset)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._failure(shard, error) from error
        if len(content) < length:
            raise BadSampleError("read_failed")
        return content

    def release(self, window: Window) -> None:
        """All of the window was read."""
        if self._remote is not None:
            self._remote.release(window)

    def close(self) -> None:
        """Close all files; windows that are still fetched are given up."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])
        if self._remote is not None:
            self._remote.close()
            self._remote = None

    def _local_path(self, shard: int) -> str | None:
        if shard not in self._local:
            self._local[shard] = storage.local_path(self._shards[shard].path)
        return self._local[shard]

    def _remote_windows(self) -> RemoteWindows:
        if self._remote is None:
            self._remote = RemoteWindows(self._shards, self._config)
        return self._remote

    def _opened(self, shard: int, path: str) -> int:
        descriptor = self._checked(shard, path)
        if len(self._descriptors) >= MAX_OPEN_FILES:
            os.close(self._descriptors.popitem(last=False)[1])
        self._descriptors[shard] = descriptor
        return descriptor

    def _checked(self, shard: int, path: str) -> int:
        """A descriptor of a shard that is as it was indexed."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            check_unchanged(self._shards[shard], os.fstat(descriptor))
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _failure(self, shard: int, error: OSError) -> Exception:
        if error.errno in NOT_THE_FILES_FAULT:
            return StorageError(f"cannot open {self._shards[shard].path}: {error}")
        return BadSampleError("read_failed")


def check_unchanged(shard: ShardFile, found: os.stat_result) -> None:
    """Compare a local shard with what the index says of it.

    Raises:
        ShardChangedError: another size, or another mtime where the index knows it.
    """
    if shard.size is not None and found.st_size != shard.size:
        raise ShardChangedError(shard.path, f"{found.st_size} bytes, not {shard.size}")
    known = LOCAL_MARK.fullmatch(shard.mark) is not None
    if known and shard.mark != f"{found.st_size}-{found.st_mtime_ns}":
        raise ShardChangedError(shard.path, "it was written again")
