"""Bytes of samples out of many tars, in the order asked for.

    samples in order ─► batches of a few MB ─► runs that are adjacent in their tar ─► one buffer

local   pread into a buffer that stays in the processor's cache; the next batch is announced to the
        kernel before. (copy_file_range and sendfile were no faster: the bytes are hashed, so they
        must be read in any case.)
remote  the ranges of a batch are asked for at once
"""

import os
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from diagonal_infra import storage

LOCAL_BATCH_BYTES = 1 << 20
REMOTE_BATCH_BYTES = 32 << 20
MAX_OPEN_FILES = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Consecutive samples and their bytes; sample i is `content[ends[i - 1]:ends[i]]`.

    What could not be read is zeros.
    """

    first: int
    ends: np.ndarray
    content: memoryview


class RangeReader:
    """Reads samples of the tars of a folder."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._is_local = storage.local_path(folder) is not None
        self._files: OrderedDict[str, int] = OrderedDict()
        self._buffer = bytearray(LOCAL_BATCH_BYTES if self._is_local else REMOTE_BATCH_BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._files.values():
            os.close(descriptor)

    def batches(
        self, shards: list[str], offsets: np.ndarray, lengths: np.ndarray
    ) -> Iterator[Batch]:
        """All samples, in order; a batch's content is good until the next is asked for."""
        spans = list(batch_spans(lengths, len(self._buffer)))
        for number, (begin, end) in enumerate(spans):
            ends = np.cumsum(lengths[begin:end])
            size = int(ends[-1])
            if size > len(self._buffer):
                self._buffer = bytearray(size)
            content = memoryview(self._buffer)[:size]
            runs = list(adjacent_runs(shards, offsets, lengths, begin, end))
            if self._is_local:
                if number + 1 < len(spans):
                    self._announce(adjacent_runs(shards, offsets, lengths, *spans[number + 1]))
                self._read_local(runs, content)
            else:
                self._read_remote(runs, content)
            yield Batch(first=begin, ends=ends, content=content)

    def _announce(self, runs: Iterator["Run"]) -> None:
        for run in runs:
            file = self._opened(run.shard)
            os.posix_fadvise(file, run.offset, run.length, os.POSIX_FADV_WILLNEED)

    def _read_local(self, runs: list["Run"], content: memoryview) -> None:
        place = 0
        for run in runs:
            wanted = content[place : place + run.length]
            got = os.preadv(self._opened(run.shard), [wanted], run.offset)
            while 0 < got < run.length and (
                more := os.preadv(self._opened(run.shard), [wanted[got:]], run.offset + got)
            ):
                got += more
            if got < run.length:
                wanted[got:] = bytes(run.length - got)
            place += run.length

    def _read_remote(self, runs: list["Run"], content: memoryview) -> None:
        paths = [storage.join(self._folder, f"{run.shard}.tar") for run in runs]
        starts = [run.offset for run in runs]
        ends = [run.offset + run.length for run in runs]
        place = 0
        for run, found in zip(runs, storage.read_ranges(paths, starts, ends), strict=True):
            content[place : place + run.length] = found.ljust(run.length, b"\0")
            place += run.length

    def _opened(self, shard: str) -> int:
        if shard not in self._files:
            if len(self._files) >= MAX_OPEN_FILES:
                os.close(self._files.popitem(last=False)[1])
            path = storage.local_path(storage.join(self._folder, f"{shard}.tar"))
            assert path is not None
            self._files[shard] = os.open(path, os.O_RDONLY)
        else:
            self._files.move_to_end(shard)
        return self._files[shard]


@dataclass(frozen=True, slots=True)
class Run:
    """Bytes that lie next to each other in a tar, and shall do so again."""

    shard: str
    offset: int
    length: int


def batch_spans(lengths: np.ndarray, most: int) -> Iterator[tuple[int, int]]:
    """First sample and the one behind the last of batches of at most so many bytes, or one."""
    ends = np.cumsum(lengths)
    begin = 0
    while begin < len(lengths):
        before = int(ends[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, before + most, "right")))
        yield begin, end
        begin = end


def adjacent_runs(
    shards: list[str], offsets: np.ndarray, lengths: np.ndarray, begin: int, end: int
) -> Iterator[Run]:
    """The samples `begin` to `end` as runs, in order."""
    shard, offset, length = shards[begin], int(offsets[begin]), int(lengths[begin])
    for i in range(begin + 1, end):
        if shards[i] == shard and offsets[i] == offset + length:
            length += int(lengths[i])
        else:
            yield Run(shard, offset, length)
            shard, offset, length = shards[i], int(offsets[i]), int(lengths[i])
    yield Run(shard, offset, length)
