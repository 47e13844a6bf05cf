"""Tar bytes of a shard: USTAR, reproducible to the byte; and the members of anyone's tar.

    KEY.jpg | KEY.txt | KEY.json | KEY.jpg …     members of a sample adjacent, in this order
    each member: 512-byte header, content, zero padding to 512
    end: two zero blocks, then zeros to a multiple of 10 240 bytes

mtime, uid and gid are 0 and the mode is 0644, so the same samples give the same bytes
(webdataset's own writer stamps the time of writing). A sample's bytes are `tar_offset:tar_offset +
tar_bytes` of the file: headers and padding included, so a copy of that range is a whole sample.

Other people's shards are read too. There a name or a size may stand in extra headers before the
member's own, which belong to the member; names have folders, suffixes have capitals:

    x header, its records | L header, its name | member's header | content | padding
"""

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Protocol

BLOCK = tarfile.BLOCKSIZE
END_OF_ARCHIVE = bytes(2 * BLOCK)
IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp")
"""Of the members that are a sample's image, the preferred first."""
REGULAR = frozenset(b"0\x007")
"""Typeflags of members with a content."""
WITHOUT_CONTENT = frozenset(b"123456")
"""Links, devices and folders: a size in their header is that of something else."""
SPACE = 0x20
EXTRA = frozenset(b"xgLK")
"""Typeflags of headers that say something of the next member: pax (POSIX.1-2001) and GNU."""
MAX_EXTRA_BYTES = 1 << 20
"""A larger extra header is no name but damage, and is not read into memory."""


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

    def add_bytes(self, content: bytes | memoryview) -> Extent:
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
        buffer.write(_header(f"{sample.key}.{extension}", len(content)))
        buffer.write(content)
        buffer.write(bytes(-len(content) % BLOCK))
    return buffer.getvalue()


def _header(name: str, size: int) -> bytes:
    """The header of `_tarfile_header`, at a fifth of its cost."""
    if len(name) > NAME_BYTES or not name.isascii() or size >= 8**SIZE_DIGITS:
        return _tarfile_header(name, size)
    field = name.encode().ljust(NAME_BYTES, b"\0")
    block = b"%b%b%011o%b" % (field, AFTER_NAME, size, AFTER_SIZE)
    return b"%b%06o\0%b" % (block[:148], sum(block), block[155:])


def _tarfile_header(name: str, size: int) -> bytes:
    header = tarfile.TarInfo(name)
    header.size, header.mode = size, 0o644
    return header.tobuf(format=tarfile.USTAR_FORMAT)


NAME_BYTES, SIZE_DIGITS = 100, 11
_EMPTY = _tarfile_header("", 0)
AFTER_NAME = _EMPTY[NAME_BYTES:124]
AFTER_SIZE = _EMPTY[135:148] + b" " * 8 + _EMPTY[156:]
"""The checksum counts itself as spaces (POSIX.1-1988)."""


class Bytes(Protocol):
    """What can be sliced to bytes, fewer than asked only at its end: bytes, a memory map, …"""

    def __getitem__(self, span: slice, /) -> bytes: ...


class BrokenTarError(ValueError):
    """Bytes end before they should, or are no tar; `name` is the member's that is cut, if known."""

    def __init__(self, message: str, name: str | None = None) -> None:
        super().__init__(message)
        self.name = name


def parse_sample(content: bytes | memoryview) -> Sample:
    """The inverse of `sample_bytes`, by reading headers only; extensions in lower case.

    Raises:
        ValueError: the bytes are not the whole members of exactly one sample.
    """
    key: str | None = None
    members: dict[str, bytes] = {}
    content = bytes(content)
    for name, _, start, size, _ in walk_members(content, len(content)):
        split = split_name(name)
        if split is None:
            continue
        stem, extension = split
        if stem != key:
            if key is not None:
                raise ValueError(f"member {name!r} is not of the sample {key!r}")
            key = stem
        members[extension] = content[start : start + size]
    if key is None:
        raise ValueError("no member in the sample's bytes")
    return Sample(key=key, members=members)


def split_name(name: str) -> tuple[str, str] | None:
    """webdataset's rule: the key is the folder and the name up to its first dot.

    The extension is what follows, in lower case; a name without either part is no sample's.
    """
    if "/" in name:
        folder, _, base = name.rpartition("/")
        stem, _, extension = base.partition(".")
        key = f"{folder}/{stem}"
    else:
        stem, _, extension = name.partition(".")
        key = stem
    return (key, extension.lower()) if stem and extension else None


def walk_members(
    tar: Bytes, length: int, *, has_end_mark: bool = False
) -> Iterator[tuple[str, int, int, int, int]]:
    """The regular files in a tar of `length` bytes, in order, by reading headers only.

    Yields (name, begin, start, size, end): the first byte of the member's headers, extra ones
    included; first byte and size of its content; the byte after its padding.

    Args:
        has_end_mark: the bytes are a file's, which ends with a mark; a sample's range does not.

    Raises:
        BrokenTarError: after the members before it.
    """
    offset = begin = 0
    long_name: str | None = None
    long_size: int | None = None
    while offset < length:
        block = tar[offset : offset + BLOCK]
        if block[257:262] != b"ustar" and not _is_old_header(block):
            if has_end_mark and block == END_OF_ARCHIVE[:BLOCK]:
                return
            raise BrokenTarError(f"not a tar header at byte {offset}")
        kind, size, start = block[156], _size(block), offset + BLOCK
        if kind in EXTRA and size <= MAX_EXTRA_BYTES:
            name, real_size = _extra(kind, tar[start : start + size])
            long_name, long_size = name or long_name, real_size or long_size
            offset = start + size + -size % BLOCK
            continue
        name = _name(block) if long_name is None else long_name
        if long_size is not None:
            size = long_size
        offset = start if kind in WITHOUT_CONTENT else start + size + -size % BLOCK
        if offset > length:
            raise BrokenTarError(f"member {name!r} does not end inside the {length} bytes", name)
        # Before the typeflag 5 a folder was told by its slash.
        if kind in REGULAR and name[-1:] != "/":
            yield name, begin, start, size, offset
        begin, long_name, long_size = offset, None, None
    if has_end_mark or offset != begin:
        raise BrokenTarError(f"no end mark at byte {offset}, where the bytes end")


def _is_old_header(block: bytes) -> bool:
    """Whether a block without a magic word has the checksum of a header (Unix V7)."""
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "replace")
    except tarfile.HeaderError:
        return False
    return True


def _name(block: bytes) -> str:
    # GNU's own format has other things in the place of the prefix.
    if block[345] and block[257:263] == b"ustar\0":
        return f"{_text(block[345:500])}/{_text(block[:100])}"
    return _text(block[:100])


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "backslashreplace")


def _size(block: bytes) -> int:
    """Octal digits, or a binary number after a byte 0x80 (GNU, for 8 GB and more)."""
    if len(block) < BLOCK:
        raise BrokenTarError("the bytes end inside a tar header")
    try:
        # Eleven digits and an end, as nearly everybody writes it.
        size = int(block[124:135] if block[135] <= SPACE else block[124:136], 8)
    except ValueError:
        size = _odd_size(block[124:136])
    if size < 0:
        raise BrokenTarError(f"a negative size in a tar header: {size}")
    return size


def _odd_size(field: bytes) -> int:
    if field[0] == 0x80:
        return int.from_bytes(field[1:])
    try:
        return int(field.partition(b"\0")[0].strip() or b"0", 8)
    except ValueError as error:
        raise BrokenTarError(f"no size in a tar header: {field!r}") from error


def _extra(kind: int, content: bytes) -> tuple[str | None, int | None]:
    """Name and size of the next member, as far as an extra header says them.

    A global pax header (g) says neither: it would give all members one name.
    """
    if kind == ord("L"):
        return _text(content), None
    if kind != ord("x"):
        return None, None
    records: dict[bytes, bytes] = {}
    try:
        while content.strip(b"\0"):
            # "27 path=pictures/snowman.jpg\n", of so many bytes, digits and line feed included
            length = int(content[: content.index(b" ")])
            keyword, _, value = content[:length].partition(b" ")[2][:-1].partition(b"=")
            if length < 1 or content[length - 1 : length] != b"\n":
                raise ValueError(f"a record of {length} bytes")
            records[keyword], content = value, content[length:]
        size = int(records[b"size"]) if b"size" in records else None
    except ValueError as error:
        raise BrokenTarError(f"a broken pax header: {error}") from error
    if size is not None and size < 0:
        raise BrokenTarError(f"a negative size in a pax header: {size}")
    path = records.get(b"path")
    return None if path is None else path.decode("utf-8", "backslashreplace"), size
