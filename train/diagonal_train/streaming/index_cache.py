"""Indexes that were built once, as files to map into memory.

    FOLDER/KEY.arrow   Arrow IPC, one record batch, a row per kept sample in the index's order:
                       shard, repetition, offset, length, uid (binary(16), or a text: a tar's key)
                       schema metadata: the shards, the digest, the CRC-32 of all that
    FOLDER/KEY.lock    held by the process that builds

KEY names everything that the index was made from, so a file is never out of date. Of several
processes that want the same index one builds it; the others wait and map its file. A file appears
whole; one that is damaged all the same is built again. Where no file can be kept the index stays
in memory.
"""

import fcntl
import json
import logging
import mmap
import os
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa

from diagonal_infra import storage
from diagonal_infra.errors import StorageError

FORMAT_VERSION = 1
"""Part of every key: raise it when the columns or what they hold change."""
COLUMNS = ("shard", "repetition", "offset", "length", "uid")
NUMBER_TYPES = [pa.int32(), pa.int32(), pa.int64(), pa.int64()]
UID_TYPES = [pa.binary(16), pa.large_string()]
CONTENT, CHECKSUM = b"diagonal.index", b"diagonal.crc32"
LOCK_SECONDS = 3600.0
"""Longest wait for another process; then this one builds an index of its own."""
LOCK_POLL_SECONDS = 0.1
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ShardFile:
    """A shard's tar, and how to tell that it is still the one that was indexed."""

    path: str
    size: int | None
    """Bytes; None if unknown."""
    mark: str
    """Another text when the file has changed; empty if there is nothing to tell by."""


@dataclass(frozen=True, kw_only=True, eq=False)
class IndexTable:
    """The kept samples of one source."""

    shards: list[ShardFile]
    columns: pa.RecordBatch
    """`COLUMNS`, in the order of the index."""
    digest: str


def cached(key: str, build: Callable[[], IndexTable], *, folder: str | None) -> IndexTable:
    """The index of that key: mapped from its file if there is one, else built and kept.

    Args:
        key: names what the index is made from, a file name's characters.
        folder: of the files; None is `$XDG_CACHE_HOME/diagonal/index`.
    """
    path = (Path(folder).expanduser() if folder else default_folder()) / f"{key}.arrow"
    if (table := _read(path)) is not None:
        return table
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_suffix(".lock").open("a")
    except OSError as error:
        logger.warning("the index stays in memory folder=%s error=%s", path.parent, error)
        return build()
    with lock, _held(lock):
        if (table := _read(path)) is not None:
            return table
        table = build()
        try:
            _write(path, table)
        except (OSError, StorageError) as error:
            logger.warning("the index stays in memory folder=%s error=%s", path.parent, error)
            return table
    return _read(path) or table


def default_folder() -> Path:
    """Where caches belong (XDG Base Directory); beside temporary files for users without a home."""
    try:
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        root = Path(tempfile.gettempdir()) / f"cache-{os.getuid()}"
    return Path(root) / "diagonal" / "index"


@contextmanager
def _held(lock: IO[str]) -> Iterator[None]:
    """Wait until no other process of this node builds the same index."""
    deadline = time.monotonic() + LOCK_SECONDS
    waits = False
    while not _try_lock(lock):
        if time.monotonic() > deadline:
            logger.warning("building an index that another process also builds lock=%s", lock.name)
            break
        if not waits:
            logger.info("waiting for another process to build the index lock=%s", lock.name)
        waits = True
        time.sleep(LOCK_POLL_SECONDS)
    # The kernel lets go of the lock when the file is closed.
    yield


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # A file system without locks: then every process builds, and the last file stays.
        return True
    return True


def _read(path: Path) -> IndexTable | None:
    """The index in a file, not copied; None without a file or if it is damaged."""
    try:
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return _parsed(content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, pa.ArrowException) as error:
        logger.warning("building a damaged index again path=%s error=%s", path, error)
        return None


def _parsed(content: mmap.mmap) -> IndexTable:
    """Raises any of the errors that `_read` catches if the content is damaged."""
    batch = pa.ipc.open_file(pa.py_buffer(content)).get_batch(0)
    metadata = batch.schema.metadata
    _check_columns(batch)
    if int(metadata[CHECKSUM]) != _checksum(metadata[CONTENT], batch):
        raise ValueError("its checksum is another")
    # The check has touched every page; those that nobody asks for need not count as memory.
    content.madvise(mmap.MADV_DONTNEED)
    record = json.loads(metadata[CONTENT])
    shards = [ShardFile(path=path, size=size, mark=mark) for path, size, mark in record["shards"]]
    return IndexTable(shards=shards, columns=batch, digest=record["digest"])


def _write(path: Path, table: IndexTable) -> None:
    """The file appears whole or not at all."""
    _check_columns(table.columns)
    shards = [astuple(shard) for shard in table.shards]
    record = json.dumps({"shards": shards, "digest": table.digest}).encode()
    checksum = str(_checksum(record, table.columns)).encode()
    batch = table.columns.replace_schema_metadata({CONTENT: record, CHECKSUM: checksum})
    with (
        storage.write_whole(str(path)) as file,
        pa.ipc.new_file(file, batch.schema) as writer,
    ):
        writer.write_batch(batch)


def _check_columns(batch: pa.RecordBatch) -> None:
    """Raises ValueError for what no index has; `value_buffers` relies on it."""
    *numbers, uid = batch.schema.types
    if tuple(batch.schema.names) != COLUMNS or numbers != NUMBER_TYPES or uid not in UID_TYPES:
        raise ValueError(f"its columns are {batch.schema.names} {batch.schema.types}")
    if any(column.null_count for column in batch.columns):
        raise ValueError("it has nulls")


def _checksum(record: bytes, batch: pa.RecordBatch) -> int:
    """CRC-32 of the record and of all values; about a gigabyte a second."""
    checksum = zlib.crc32(str(batch.schema.types[-1]).encode(), zlib.crc32(record))
    for column in batch.columns:
        for part in value_buffers(column):
            checksum = zlib.crc32(part, checksum)
    return checksum


def value_buffers(column: pa.Array) -> list[pa.Buffer]:
    """A column's values, without what its buffers hold beyond them."""
    assert column.offset == 0, column.offset
    _, *parts = column.buffers()
    if not pa.types.is_large_string(column.type):
        return [parts[0].slice(0, len(column) * column.type.bit_width // 8)]
    ends = parts[0].slice(0, 8 * (len(column) + 1))
    last = int.from_bytes(ends[-8:].to_pybytes(), "little")
    return [ends, parts[1].slice(0, last)]
