"""The columns of a dataset's samples in few files, so that another threshold opens a handful.

    DATASET/cache/rows/00000.arrow                      uid (as in keep.npy), reason (empty: a
                                                        sample) of every row; the rows of each shard
    DATASET/cache/shards/COLUMN/00000.arrow             a column that was asked for, a value per
    DATASET/cache/scores/KIND/NAME/COLUMN/00000.arrow   sample in order

A file holds a block of shards as `Scan` reads them, and names its source: a digest of the marks of
all that was read (file_marks.py), of the tombstones and of the retries. If the source is
another now, or has no mark, the block is read of the tables again, and only that block. So the
cache never gives an old answer and may be deleted at any time; a killed run leaves whole files.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from diagonal_data.filters.columns import Column
from diagonal_data.filters.keep_list import UID_DTYPE
from diagonal_data.filters.scan import Scan, ShardRows
from diagonal_data.manifest import read_manifest, shard_passes, shards_folder
from diagonal_data.tombstones import tombstones_path
from diagonal_data.uid_set import packed_uids
from diagonal_infra import storage
from diagonal_infra.errors import StorageError
from diagonal_infra.file_marks import file_marks

VERSION = 1
"""Part of every source: raise it when the files or what they hold change."""
SHARDS_PER_BLOCK = 128
SOURCE, ROWS = b"diagonal.source", b"diagonal.rows"
ROWS_SCHEMA = pa.schema(
    [("uid", pa.list_(pa.uint64(), 2)), ("reason", pa.dictionary(pa.int16(), pa.string()))]
)
SAMPLE = ""
"""First of the reasons of every block: the row is a sample."""
logger = logging.getLogger(__name__)


def cache_folder(dataset: str) -> str:
    """`DATASET/cache`."""
    return storage.join(dataset, "cache")


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """What some shards have."""

    shards: Mapping[str, int]
    """Rows of each, in order: those that are the latest of their candidate."""
    uids: np.ndarray
    """Of every row; `UID_DTYPE`."""
    reasons: pa.DictionaryArray
    """Why a row can never be kept; number 0 is a sample."""
    samples: pa.Table
    """The columns asked for."""


class Cache:
    """All rows of a dataset with some columns, block by block."""

    def __init__(self, dataset: str, columns: Mapping[str, Column]) -> None:
        """Note the present state of the tables.

        Raises:
            UserError: no dataset, or none of its shards is finished.
        """
        self.dataset, self.columns = dataset, dict(columns)
        self._passes = shard_passes(dataset)
        names = list(self._passes)
        starts = range(0, len(names), SHARDS_PER_BLOCK)
        self._blocks = [names[start : start + SHARDS_PER_BLOCK] for start in starts]
        sets = {column.scores.label: column.scores for column in columns.values() if column.scores}
        folders = {"": shards_folder(dataset)} | {key: each.folder for key, each in sets.items()}
        self._marks = {key: file_marks(path, ".parquet") for key, path in folders.items()}
        self._scans: dict[tuple[str, ...], Scan] = {}

    def __len__(self) -> int:
        return len(self._blocks)

    @cached_property
    def schema(self) -> pa.Schema:
        """Of the samples: as the tables of the first shard have them.

        Raises:
            UserError: shards without scores.
        """
        found = self._found(0)
        missing = self._missing(found)
        scanned = self._scan(missing).schema if missing else pa.schema([])
        types = {name: table.schema.types[0] for name, table in found.items()}
        fields = [(name, types.get(name) or scanned.field(name).type) for name in self.columns]
        return pa.schema(fields)

    def __iter__(self) -> Iterator[Block]:
        """The blocks in order, from files where these are current.

        Raises:
            UserError: scores that are missing, broken or of other samples.
        """
        for number in range(len(self._blocks)):
            rows, found = self._cached(number, None), self._found(number)
            missing = self._missing(found)
            if rows is None or missing:
                shards = list(self._scan(missing).shards(self._blocks[number]))
                samples = pa.concat_tables(shard.samples for shard in shards)
                for name in missing:
                    found[name] = samples.select([name])
                    self._keep(number, self.columns[name], found[name])
                if rows is None:
                    rows = _rows_of(shards)
                    self._keep(number, None, rows)
            yield self._block(rows, found)

    def _found(self, number: int) -> dict[str, pa.Table]:
        """The columns of a block that are there."""
        tables = {name: self._cached(number, column) for name, column in self.columns.items()}
        return {name: table for name, table in tables.items() if table is not None}

    def _missing(self, found: Mapping[str, pa.Table]) -> list[str]:
        return [name for name in self.columns if name not in found]

    def _block(self, rows: pa.Table, found: Mapping[str, pa.Table]) -> Block:
        """The tables as one."""
        counts = json.loads((rows.schema.metadata or {})[ROWS])
        uids = _whole(rows["uid"]).flatten().to_numpy()
        values = [found[name].column(0).cast(self.schema.field(name).type) for name in self.columns]
        return Block(
            shards=counts,
            uids=uids.view(UID_DTYPE),
            reasons=_whole(rows["reason"]),
            samples=pa.table(values, schema=self.schema),
        )

    def _scan(self, names: Sequence[str]) -> Scan:
        key = tuple(names)
        if key not in self._scans:
            columns = {name: self.columns[name] for name in names}
            self._scans[key] = Scan(self.dataset, columns)
        return self._scans[key]

    def _cached(self, number: int, column: Column | None) -> pa.Table | None:
        """A block's column, or its rows, if there is a file of the present source."""
        source = self._source(number, column)
        table = None if source is None else _open(self._path(number, column))
        if table is None or (table.schema.metadata or {}).get(SOURCE) != source:
            return None
        return table

    def _keep(self, number: int, column: Column | None, table: pa.Table) -> None:
        source = self._source(number, column)
        if source is None:
            return
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), SOURCE: source})
        path = self._path(number, column)
        try:
            with (
                storage.write_whole(path) as file,
                pa.ipc.new_file(file, table.schema) as writer,
            ):
                writer.write_table(table.combine_chunks())
        except (OSError, StorageError) as error:
            logger.warning("columns are not kept path=%s error=%s", path, error)

    def _path(self, number: int, column: Column | None) -> str:
        if column is None:
            folder = "rows"
        elif column.scores is None:
            folder = f"shards/{column.name}"
        else:
            folder = f"scores/{column.scores.label}/{column.name}"
        return storage.join(cache_folder(self.dataset), folder, f"{number:05d}.arrow")

    def _source(self, number: int, column: Column | None) -> bytes | None:
        """Digest of all that a file is made of; None if something has no mark."""
        if self._shared is None:
            return None
        names = self._blocks[number]
        label = column.scores.label if column and column.scores else ""
        folders = dict.fromkeys(["", label])
        marks = [self._marks[key].get(f"{name}.parquet") for key in folders for name in names]
        if not all(marks):
            return None
        tars = [self._tars[name] for name in names]
        return _digest([self._shared, names, tars, marks])

    @cached_property
    def _tars(self) -> dict[str, list[str]]:
        shards = read_manifest(self.dataset)["shards"]
        return {s["name"]: [s["sha256"], s.get("built_sha256", "")] for s in shards}

    @cached_property
    def _shared(self) -> str | None:
        """Of what decides the rows of every block: tombstones and retries."""
        passes = {name: number for name, number in self._passes.items() if number}
        marks = [self._marks[""].get(f"{name}.parquet") for name in passes]
        path = tombstones_path(self.dataset)
        stones = storage.read_bytes(path) if storage.exists(path) else b""
        content = [VERSION, hashlib.sha256(stones).hexdigest(), passes, marks]
        return _digest(content).decode() if all(marks) else None


def _rows_of(shards: Sequence[ShardRows]) -> pa.Table:
    """Uids and reasons of shards, with the number of their rows."""
    uids = [packed_uids(shard.uids).view(">u8").astype("u8") for shard in shards]
    halves = pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(uids)), 2)
    reasons = _encoded([shard.reasons.fill_null(SAMPLE) for shard in shards])
    counts = json.dumps({shard.name: len(shard.uids) for shard in shards})
    schema = ROWS_SCHEMA.with_metadata({ROWS: counts.encode()})
    return pa.table([halves, reasons], schema=schema)


def _encoded(reasons: Sequence[pa.ChunkedArray]) -> pa.DictionaryArray:
    """Reasons as numbers, `SAMPLE` first."""
    chunks = [pa.array([SAMPLE]), *(chunk for part in reasons for chunk in part.chunks)]
    encoded = pa.concat_arrays(chunks).dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices.cast(pa.int16())[1:], encoded.dictionary)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece, not copied if it is."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _open(path: str) -> pa.Table | None:
    """A file's table, mapped where the file is local; None if there is none, or no whole one."""
    local = storage.local_path(path)
    try:
        if local is None:
            return pa.ipc.open_file(pa.py_buffer(storage.read_bytes(path))).read_all()
        with pa.memory_map(local) as mapped:
            return pa.ipc.open_file(mapped).read_all()
    except (OSError, StorageError, pa.ArrowInvalid):
        return None


def _digest(content: Sequence[object]) -> bytes:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest().encode()
