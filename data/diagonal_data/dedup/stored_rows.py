"""The stored samples of a dataset as arrays over all its shards, and results written back.

A row here is a success row of a shard's row table, in its order: what a score set has rows for.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from diagonal_data.manifest import read_manifest, shard_names, shards_folder
from diagonal_data.parquet import read_parquet
from diagonal_data.rows import taken_down
from diagonal_data.score_sets import ScoreSet, find_column
from diagonal_data.tombstones import TAKEDOWN_COLUMNS
from diagonal_infra import log, storage
from diagonal_infra.errors import UserError

TAKEN_DOWN = "taken_down"


@dataclass(frozen=True, kw_only=True)
class StoredRows:
    """Rows of all shards, one shard after the other; `table` has the columns that were asked for.

    Its column `taken_down` says which rows the dataset's tombstones name.
    """

    table: pa.Table
    counts: dict[str, int]
    """Rows of each shard, in order."""

    @property
    def present(self) -> np.ndarray:
        """Mask of the rows that are not taken down."""
        return ~self.table[TAKEN_DOWN].to_numpy()

    def of_shard(self, shard: str) -> slice:
        """Where a shard's rows are."""
        return slice(self._starts[shard], self._starts[shard] + self.counts[shard])

    @cached_property
    def _starts(self) -> dict[str, int]:
        return dict(zip(self.counts, accumulate(self.counts.values(), initial=0), strict=False))


def read_stored_rows(dataset: str, columns: Sequence[str], what: str) -> StoredRows:
    """All stored samples; `what` names the work on the progress bar.

    Raises:
        UserError: no dataset, no finished shard, or a row table without one of the columns.
    """
    tables = {}
    with log.progress() as bar:
        for shard in bar.track(shard_names(dataset), description=f"{what}: reading rows"):
            tables[shard] = read_shard_rows(dataset, shard, columns)
    counts = {shard: table.num_rows for shard, table in tables.items()}
    return StoredRows(table=pa.concat_tables(tables.values()), counts=counts)


def read_shard_rows(dataset: str, shard: str, columns: Sequence[str]) -> pa.Table:
    """The stored samples of one shard: `uid`, `columns` and `taken_down`; raises as above."""
    wanted = list(dict.fromkeys([*TAKEDOWN_COLUMNS, "status", *columns]))
    rows = read_parquet(storage.join(shards_folder(dataset), f"{shard}.parquet"), wanted)
    missing = [name for name in wanted if name not in rows.column_names]
    if missing:
        raise UserError(
            f"the row table of shard {shard} in {dataset!r} has no column {', '.join(missing)}; "
            "build the shards with 'make shards'"
        )
    rows = rows.filter(pc.field("status") == "success")
    gone = pa.array(taken_down(dataset, rows))
    return rows.select(dict.fromkeys(["uid", *columns])).append_column(TAKEN_DOWN, gone)


def read_scores(stored: StoredRows, dataset: str, score: str) -> pa.ChunkedArray:
    """A score column of all rows.

    Raises:
        UserError: no such column, or it is not of these rows.
    """
    found, column = find_column(dataset, score)
    parts = []
    for shard in stored.counts:
        if not storage.exists(found.path(shard)):
            raise UserError(
                f"score set {found.label} has nothing for shard {shard}; score it again"
            )
        table = read_parquet(found.path(shard), ["uid", column])
        if not table["uid"].equals(stored.table["uid"][stored.of_shard(shard)]):
            raise UserError(
                f"score set {found.label} has other rows than shard {shard}; score it again"
            )
        parts.append(table[column])
    return pa.chunked_array([chunk for part in parts for chunk in part.chunks])


def source_of(dataset: str, *parts: Any) -> str:
    """Names what is computed of the whole dataset: its shards, its tombstones and `parts`."""
    shards = [[shard["name"], shard["sha256"]] for shard in read_manifest(dataset)["shards"]]
    tombstones = storage.join(dataset, "tombstones.parquet")
    gone = storage.read_bytes(tombstones) if storage.exists(tombstones) else b""
    return digest_of(shards, hashlib.sha256(gone).hexdigest(), *parts)


def digest_of(*parts: Any) -> str:
    """32 hex digits over anything that JSON can write."""
    content = json.dumps(parts, sort_keys=True).encode()
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def set_source(dataset: str, column: str) -> list[str]:
    """What the tables of a column's score set were computed of."""
    found, _ = find_column(dataset, column)
    return [found.label, *(found.source(shard) or "" for shard in shard_names(dataset))]


def missing_shards(result: ScoreSet, source: str) -> list[str]:
    """Shards whose table is not there, or was computed of something else."""
    return [shard for shard in shard_names(result.dataset) if not result.is_current(shard, source)]


def write_columns(
    result: ScoreSet, stored: StoredRows, source: str, columns: Mapping[str, pa.Array]
) -> int:
    """Write the tables that are not current; how many. A kill between them costs nothing."""
    missing = missing_shards(result, source)
    table = pa.table({"uid": stored.table["uid"], **columns})
    with log.progress() as bar:
        for shard in bar.track(missing, description=f"writing {result.label}"):
            rows = stored.of_shard(shard)
            result.write(shard, table.slice(rows.start, rows.stop - rows.start), source)
    return len(missing)
