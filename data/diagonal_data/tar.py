"""Tar bytes of a shard: USTAR, reproducible to the byte.

    KEY.jpg | KEY.txt | KEY.json | KEY.jpg …     members of a sample adjacent, in this order
    each member: 512-byte header, content, zero padding to 512
    end: two zero blocks, then zeros to a multiple of 10 240 bytes

mtime, uid and gid are 0 and the mode is 0644, so the same samples give the same bytes
(webdataset's own writer stamps the time of writing). A sample's bytes are `tar_offset:tar_offset +
tar_bytes` of the file: headers and padding included, so a copy of that range is a whole sample.
"""

import io
import tarfile
from dataclasses import dataclass
from typing import IO

BLOCK = tarfile.BLOCKSIZE
END_OF_ARCHIVE = bytes(2 * BLOCK)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One image–caption pair; `members` maps extensions (`jpg`) to contents, in tar order."""

    key: str
    members: dict[str, bytes]


@dataclass(frozen=True, kw_only=True)
class Extent:
    """Where a sample's members lie in its tar, in bytes."""

    offset: int
    length: int


class TarWriter:
    """Appends samples to an open binary file; `close` writes the end mark, not the file's end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._offset = 0

    def add(self, sample: Sample) -> Extent:
        """Append one sample and say where it lies."""
        content = sample_bytes(sample)
        return self.add_bytes(content)

    def add_bytes(self, content: bytes) -> Extent:
        """Append a range read from another tar, byte for byte."""
        assert len(content) % BLOCK == 0, len(content)
        self._file.write(content)
        extent = Extent(offset=self._offset, length=len(content))
        self._offset += len(content)
        return extent

    def close(self) -> None:
        """Write the end mark, padded to tar's record size."""
        self._file.write(END_OF_ARCHIVE)
        padding = -(self._offset + len(END_OF_ARCHIVE)) % tarfile.RECORDSIZE
        self._file.write(bytes(padding))


def sample_bytes(sample: Sample) -> bytes:
    """All members of a sample with their headers and padding."""
    if "." in sample.key or "/" in sample.key:
        # webdataset splits the key from the extension at the first dot.
        raise ValueError(f"a sample key holds no dot and no slash, got {sample.key!r}")
    buffer = io.BytesIO()
    for extension, content in sample.members.items():
        header = tarfile.TarInfo(f"{sample.key}.{extension}")
        header.size = len(content)
        header.mode = 0o644
        buffer.write(header.tobuf(format=tarfile.USTAR_FORMAT))
        buffer.write(content)
        buffer.write(bytes(-len(content) % BLOCK))
    return buffer.getvalue()


def parse_sample(content: bytes | memoryview) -> Sample:
    """The inverse of `sample_bytes`, by reading headers only.

    Raises:
        ValueError: the bytes are not the whole members of exactly one sample.
    """
    key: str | None = None
    members: dict[str, bytes] = {}
    view = memoryview(content)
    offset = 0
    while offset < len(view):
        name, size = read_header(view[offset : offset + BLOCK])
        stem, _, extension = name.partition(".")
        start, offset = offset + BLOCK, offset + BLOCK + size + (-size % BLOCK)
        if offset > len(view) or (key is not None and stem != key):
            raise ValueError(f"member {name!r} does not end inside the sample of {key!r}")
        key = stem
        members[extension] = bytes(view[start : start + size])
    if key is None:
        raise ValueError("no member in the sample's bytes")
    return Sample(key=key, members=members)


def read_header(block: memoryview) -> tuple[str, int]:
    """Name and size of a USTAR member (POSIX.1-1988 field offsets).

    Raises:
        ValueError: the block is no tar header.
    """
    if len(block) < BLOCK or bytes(block[257:262]) != b"ustar":
        raise ValueError("not a tar header")
    name = bytes(block[0:100]).rstrip(b"\0").decode()
    prefix = bytes(block[345:500]).rstrip(b"\0").decode()
    return (f"{prefix}/{name}" if prefix else name), int(bytes(block[124:135]) or b"0", 8)
