"""The samples of one foreign tar, by reading its headers.

    members ─► runs of members with one key ─► those with an image and a text ─► key, offset, length

A local tar is mapped; another is read from its beginning to its end in large ranges. A sample's
range runs from its first header to the padded end of its last member. What cannot be used is
counted by cause; a tar that is cut keeps the samples before the cut.
"""

import mmap
import os
import time
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from fsspec.core import url_to_fs

from diagonal_data.tar import IMAGE_EXTENSIONS, BrokenTarError, Bytes, split_name, walk_members
from diagonal_infra import storage
from diagonal_infra.errors import StorageError
from diagonal_infra.object_store import raised_errors, storage_errors
from diagonal_train.streaming.index_cache import ShardFile

CHUNK_BYTES = 8 << 20
"""One request to a store."""
ATTEMPTS = 4
PAUSE_SECONDS = 0.25
"""Before the second attempt; twice as long before each further one."""


@dataclass(frozen=True, kw_only=True)
class TarScan:
    """The usable samples of a tar, in its order."""

    keys: list[str] = field(default_factory=list)
    offsets: array = field(default_factory=lambda: array("q"))
    lengths: array = field(default_factory=lambda: array("q"))
    skipped: Counter[str] = field(default_factory=Counter)
    """By cause: image_missing and caption_missing count samples, tar_broken is 1 for a cut tar."""


def shard_file(path: str) -> ShardFile:
    """The present state of a file; its mark is size-mtime_ns, or a store's ETag, else its size."""
    local = storage.local_path(path)
    with storage_errors(f"read {path}"):
        if local is not None:
            stat = os.stat(local)  # noqa: PTH116  # a fifth of Path.stat's time, for each shard
            size, mark = stat.st_size, f"{stat.st_size}-{stat.st_mtime_ns}"
        else:
            filesystem, inner = url_to_fs(path)
            info = _patient(filesystem.info, inner)
            size = info.get("size")
            mark = str(info.get("ETag") or info.get("etag") or ("" if size is None else size))
    return ShardFile(path=path, size=size, mark=mark)


def scan_tar(shard: ShardFile, texts: frozenset[str]) -> TarScan:
    """Read a tar's headers.

    Args:
        texts: extensions of the members that can be a sample's caption.

    Raises:
        StorageError: the file cannot be read.
    """
    local = storage.local_path(shard.path)
    if local is None:
        if shard.size is None:
            raise StorageError(
                f"cannot index {shard.path}: the server does not say its size; copy the shards"
            )
        return scan_members(_RemoteFile(shard.path, shard.size), shard.size, texts)
    with storage_errors(f"read {shard.path}"), open(local, "rb") as file:  # noqa: PTH123
        length = os.fstat(file.fileno()).st_size
        if not length:
            # Nothing can be mapped of an empty file.
            return scan_members(b"", 0, texts)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return scan_members(content, length, texts)


def scan_members(tar: Bytes, length: int, texts: frozenset[str]) -> TarScan:
    """The samples among a tar's members."""
    scan = TarScan()
    key, first, last = "", 0, 0
    extensions: set[str] = set()
    try:
        for name, begin, _, _, end in walk_members(tar, length, has_end_mark=True):
            split = split_name(name)
            if split is None:
                continue
            if split[0] != key:
                _add_sample(scan, key, extensions, texts, first, last)
                key, first, extensions = split[0], begin, set()
            extensions.add(split[1])
            last = end
    except BrokenTarError as error:
        scan.skipped["tar_broken"] = 1
        cut = error.name and split_name(error.name)
        if (cut and cut[0] == key) or _drop_reason(extensions, texts):
            # The last sample lacks what comes after the cut.
            return scan
    _add_sample(scan, key, extensions, texts, first, last)
    return scan


def _add_sample(
    scan: TarScan, key: str, extensions: set[str], texts: frozenset[str], first: int, last: int
) -> None:
    """Keep a sample or count why not; without a key there is none."""
    if not key:
        return
    if reason := _drop_reason(extensions, texts):
        scan.skipped[reason] += 1
    else:
        scan.keys.append(key)
        scan.offsets.append(first)
        scan.lengths.append(last - first)


def _drop_reason(extensions: set[str], texts: frozenset[str]) -> str | None:
    if extensions.isdisjoint(IMAGE_EXTENSIONS):
        return "image_missing"
    return "caption_missing" if extensions.isdisjoint(texts) else None


class _RemoteFile:
    """A file on a store, sliced from its beginning to its end; holds one chunk."""

    def __init__(self, path: str, size: int) -> None:
        self._path = path
        self._filesystem, self._inner = url_to_fs(path)
        self._size = size
        self._start = 0
        self._chunk = b""

    def __getitem__(self, span: slice) -> bytes:
        start, stop = span.start, min(span.stop, self._size)
        if start < self._start or stop > self._start + len(self._chunk):
            # What lies between the chunk's end and the start is the content of a large member.
            self._chunk = self._fetch(start, max(stop, min(start + CHUNK_BYTES, self._size)))
            self._start = start
        return self._chunk[start - self._start : stop - self._start]

    def _fetch(self, start: int, end: int) -> bytes:
        with storage_errors(f"read bytes {start}-{end - 1} of {self._path}"):
            return _patient(self._range, start, end)

    def _range(self, start: int, end: int) -> bytes:
        content = self._filesystem.cat_file(self._inner, start=start, end=end)
        if len(content) > end - start:
            raise StorageError(
                f"cannot index {self._path}: the server sends {len(content)} bytes for a range "
                f"of {end - start}; copy the shards to a store that answers range requests"
            )
        if len(content) < end - start:
            raise OSError(f"{len(content)} bytes came")
        return content


def _patient(call: Any, *arguments: Any) -> Any:
    """Call again after what may pass; the last attempt's error is raised."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return call(*arguments)
        except raised_errors():
            time.sleep(PAUSE_SECONDS * 2**attempt)
    return call(*arguments)
