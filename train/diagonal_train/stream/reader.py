"""Bytes of samples out of shard tars, by range, local or by fsspec URL; and the pair in them."""

import os
from collections import OrderedDict
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from diagonal_data.tar import IMAGE_EXTENSIONS, parse_sample

MAX_OPEN_FILES = 64


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


class RangeReader:
    """Reads ranges of numbered files; at most `MAX_OPEN_FILES` local ones are open at a time.

    Nothing is opened before the first read, so that a worker process opens its own.
    """

    def __init__(self, paths: list[str]) -> None:
        self._paths = paths
        self._descriptors: OrderedDict[int, int] = OrderedDict()
        self._filesystems: dict[int, tuple[Any, str]] = {}

    def read(self, number: int, offset: int, length: int) -> bytes:
        """`length` bytes of file `number` from `offset`; fewer only at the end of the file.

        Raises:
            OSError: the file cannot be read.
        """
        if number not in self._filesystems:
            self._filesystems[number] = url_to_fs(self._paths[number])
        filesystem, path = self._filesystems[number]
        if isinstance(filesystem, LocalFileSystem):
            return os.pread(self._descriptor(number, path), length, offset)
        return filesystem.cat_file(path, start=offset, end=offset + length)

    def _descriptor(self, number: int, path: str) -> int:
        if number in self._descriptors:
            self._descriptors.move_to_end(number)
            return self._descriptors[number]
        if len(self._descriptors) >= MAX_OPEN_FILES:
            os.close(self._descriptors.popitem(last=False)[1])
        self._descriptors[number] = os.open(path, os.O_RDONLY)
        return self._descriptors[number]
