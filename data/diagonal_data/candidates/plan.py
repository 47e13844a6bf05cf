"""The plan of the reading: input files to units of work, each with a name of its own.

A unit is a range of bytes of one file, or some whole small files. Its name is a digest of what it
reads (paths, sizes, versions, range), so that an input that grows adds units and touches none, and
one that is replaced is read anew.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from diagonal_data.candidates.lists import PARQUET

VERSION_MARKS = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "mtime", "created")
"""Where file systems tell one content of a name from the next; the first that is there is taken."""
PAGES_PER_UNIT = 2_000
"""HTML files that a unit reads."""
PARTITION_BYTES = 64 * 2**20
MOST_PARTITIONS = 1_024
SHARED_READERS = ("wat", "warc")
"""Whose files can be read from the middle on."""


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """A file as it is now."""

    path: str
    size: int
    version: str | None


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What one call reads."""

    name: str
    reader: str
    paths: tuple[str, ...]
    start: int = 0
    end: int | None = None

    def __str__(self) -> str:
        first, *others = self.paths
        more = f" and {len(others)} more" if others else ""
        part = "" if self.end is None and not self.start else f" from byte {self.start}"
        return f"{first}{part}{more}"


def input_file(path: str) -> InputFile:
    """What differs when a file is replaced or grows: its size, and its ETag or time of change."""
    filesystem, inner = url_to_fs(path)
    if isinstance(filesystem, LocalFileSystem):
        # Not fsspec's: of a link it would give the link's own time.
        facts = Path(inner).stat()
        return InputFile(path=path, size=facts.st_size, version=str(facts.st_mtime_ns))
    known = filesystem.info(inner)
    marks = (known[name] for name in VERSION_MARKS if known.get(name))
    version = next((str(mark) for mark in marks), None)
    return InputFile(path=path, size=known.get("size") or 0, version=version)


def plan_units(reader: str, files: Sequence[InputFile], unit_bytes: int) -> list[Unit]:
    """The units that together read every file once, in the order of the files."""
    if reader == "html":
        groups = [files[i : i + PAGES_PER_UNIT] for i in range(0, len(files), PAGES_PER_UNIT)]
        return [_unit(reader, group, 0, None) for group in groups]
    return [
        _unit(reader, [file], start, end)
        for file in files
        for start, end in _ranges(reader, file, unit_bytes)
    ]


def partitions_for(files: Iterable[InputFile]) -> int:
    """A power of two such that a partition is some 100,000 rows."""
    wanted = min(sum(file.size for file in files) // PARTITION_BYTES, MOST_PARTITIONS)
    return 1 << max(0, wanted - 1).bit_length() if wanted > 1 else 1


def _ranges(reader: str, file: InputFile, unit_bytes: int) -> Iterator[tuple[int, int | None]]:
    if reader not in SHARED_READERS and not file.path.lower().endswith(PARQUET):
        yield 0, None
        return
    for start in range(0, max(file.size, 1), unit_bytes):
        # The last range is open: a file that grows meanwhile is not cut.
        yield start, (start + unit_bytes if start + unit_bytes < file.size else None)


def _unit(reader: str, files: Sequence[InputFile], start: int, end: int | None) -> Unit:
    facts = [reader, start, end, *([file.path, file.size, file.version] for file in files)]
    name = hashlib.blake2b(json.dumps(facts).encode(), digest_size=8).hexdigest()
    paths = tuple(file.path for file in files)
    return Unit(name=name, reader=reader, paths=paths, start=start, end=end)
