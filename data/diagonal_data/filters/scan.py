"""The rows of a dataset shard by shard, scores beside them, read by several threads in order.

    shards/NAME.parquet ─► latest rows ─► those stored and not taken down ─┬─► samples
    scores/KIND/NAME/NAME.parquet, row by row, once its uids are checked ──┘

A score table has a row per stored sample in the order of the row table, so nothing is joined: the
digest of the uids says whether the two fit. NaN becomes null, which no condition is true for.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from diagonal_data.filters.columns import DERIVED, Column, row_columns
from diagonal_data.manifest import read_manifest, shard_passes
from diagonal_data.parquet import read_parquet
from diagonal_data.rows import Superseded, read_shard_rows, taken_down
from diagonal_data.schema import ROW_SCHEMA
from diagonal_data.score_sets import TAR_KEY, UIDS_KEY, ScoreSet, uids_digest
from diagonal_data.tombstones import TAKEDOWN_COLUMNS
from diagonal_data.uid_set import packed_uids
from diagonal_infra import storage
from diagonal_infra.errors import UserError

Result = TypeVar("Result")
AHEAD = 2
"""Shards read ahead per thread."""
TAKEN_DOWN = "taken_down"
ROW = "row"
"""Column of the place of a sample among the rows."""


@dataclass(frozen=True, kw_only=True)
class ShardRows:
    """What a shard adds."""

    name: str
    uids: pa.ChunkedArray
    """Of every row that is the latest of its candidate."""
    reasons: pa.ChunkedArray
    """Why a row can never be kept; null for the samples."""
    samples: pa.Table
    """The columns asked for, and `ROW`."""


class Scan:
    """All rows of a dataset with the columns that a query names."""

    def __init__(self, dataset: str, columns: Mapping[str, Column]) -> None:
        """Check that every shard has the scores.

        Raises:
            UserError: no dataset, no shard, or shards without scores.
        """
        self.dataset = dataset
        self.passes = shard_passes(dataset)
        # A compacted shard's other samples, and so their scores, are those of the tar as built.
        self._tars = {
            s["name"]: {s["sha256"], s.get("built_sha256", "")}
            for s in read_manifest(dataset)["shards"]
        }
        self._superseded = Superseded(dataset, self.passes)
        self.has_tombstones = storage.exists(storage.join(dataset, "tombstones.parquet"))
        self.columns = dict(columns)
        self._read = row_columns(columns.values())
        self._sets = {c.scores.label: c.scores for c in columns.values() if c.scores}
        for scores in self._sets.values():
            check_complete(scores, list(self.passes))
        self.schema = pa.schema([(name, self._type(c)) for name, c in self.columns.items()])

    def shards(self, names: Iterable[str] | None = None) -> Iterator[ShardRows]:
        """These shards in order; all of them if None."""
        return ahead(self._shard, self.passes if names is None else names)

    def _shard(self, name: str) -> ShardRows:
        takedown = TAKEDOWN_COLUMNS if self.has_tombstones else ()
        wanted = dict.fromkeys(["uid", "status", "reason", *takedown, *self._read])
        rows = read_shard_rows(self.dataset, name, list(wanted))
        stored = _is(rows["status"], "success")
        samples = rows.select(list(dict.fromkeys(["uid", *self._read])))
        samples = samples if stored.all() else samples.filter(pa.array(stored))
        values = self._values(name, samples)
        place, keep = np.flatnonzero(stored), np.ones(samples.num_rows, bool)
        reasons = rows["reason"].fill_null("failed")
        reasons = _replaced(_replaced(reasons, _is(reasons, ""), "failed"), stored, None)
        if not self._superseded.is_empty:
            latest = ~self._superseded.mask(packed_uids(rows["uid"]), self.passes[name])
            keep &= latest[place]
            place = np.cumsum(latest)[place] - 1
            rows, reasons = rows.filter(pa.array(latest)), reasons.filter(pa.array(latest))
        if self.has_tombstones:
            gone = taken_down(self.dataset, rows)
            keep[keep] = ~gone[place[keep]]
            reasons = _replaced(reasons, gone & np.asarray(reasons.is_null()), TAKEN_DOWN)
        table = pa.table([*values, pa.array(place)], [*self.columns, ROW])
        return ShardRows(
            name=name,
            uids=rows["uid"],
            reasons=reasons,
            samples=table if keep.all() else table.filter(pa.array(keep)),
        )

    def _values(self, shard: str, samples: pa.Table) -> list[pa.ChunkedArray | pa.Array]:
        """The columns of the samples of a shard, in the order asked for."""
        digest = uids_digest(samples["uid"]) if self._sets else b""
        tables = {
            label: read_scores(scores, shard, self._names(label), digest, samples.num_rows)
            for label, scores in self._sets.items()
        }
        for label, table in tables.items():
            tar = (table.schema.metadata or {}).get(TAR_KEY)
            if tar is not None and tar.decode() not in self._tars[shard]:
                raise UserError(
                    f"scores {label} of shard {shard} were made of another tar than it has now; "
                    "make them again with the command that made them"
                )
        found = []
        for name, column in self.columns.items():
            if column.scores is not None:
                values = tables[column.scores.label][column.name]
            elif column.name in DERIVED:
                derived = DERIVED[column.name]
                values = derived.compute(samples[derived.source].combine_chunks())
            else:
                values = samples[column.name]
            found.append(without_nan(values.cast(self.schema.field(name).type)))
        return found

    def _names(self, label: str) -> list[str]:
        columns = self.columns.values()
        return list(dict.fromkeys(c.name for c in columns if c.scores and c.scores.label == label))

    def _type(self, column: Column) -> pa.DataType:
        if column.scores is None:
            derived = DERIVED.get(column.name)
            return derived.type if derived else ROW_SCHEMA.field(column.name).type
        schemas = (column.scores.schema(shard) for shard in self.passes)
        return next(schema for schema in schemas if schema is not None).field(column.name).type


def read_scores(
    scores: ScoreSet, shard: str, columns: list[str], digest: bytes, count: int
) -> pa.Table:
    """A shard's table, if it is of the samples of this digest and number in this order.

    Raises:
        UserError: it is not, or cannot be read.
    """
    table = _read(scores, shard, columns)
    known = (table.schema.metadata or {}).get(UIDS_KEY)
    if known is None:
        known = uids_digest(_read(scores, shard, ["uid"])["uid"])
    if known != digest or table.num_rows != count:
        raise UserError(
            f"scores {scores.label} of shard {shard} are of other samples than {scores.dataset!r} "
            "has; delete the table and make it again with the command that made it"
        )
    return table


def _read(scores: ScoreSet, shard: str, columns: list[str]) -> pa.Table:
    try:
        return read_parquet(scores.path(shard), columns)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(
            f"score table {scores.path(shard)!r} cannot be read ({error}); delete it and make it "
            "again with the command that made it"
        ) from error


def check_complete(scores: ScoreSet, shards: list[str]) -> None:
    """Every shard has a table.

    Raises:
        UserError: some have none.
    """
    there = set(storage.list_files(scores.folder, ".parquet"))
    missing = [shard for shard in shards if f"{shard}.parquet" not in there]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(shards)} shards lack scores {scores.label} "
            f"({', '.join(missing[:3])}{' …' if missing[3:] else ''}); run the command that made "
            "the others again, it scores what is new"
        )


def without_nan(values: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """NaN as null."""
    if not pa.types.is_floating(values.type):
        return values
    nan = pc.call_function("is_nan", [values])
    return pc.call_function("if_else", [nan, pa.scalar(None, values.type), values])


def _is(values: pa.ChunkedArray, wanted: str) -> np.ndarray:
    return np.asarray(pc.call_function("equal", [values, pa.scalar(wanted)]))


def _replaced(values: pa.ChunkedArray, places: np.ndarray, by: str | None) -> pa.ChunkedArray:
    mask, value = pa.array(places), pa.scalar(by, values.type)
    return pc.call_function("if_else", [mask, value, values])


def ahead(read: Callable[[str], Result], names: Iterable[str]) -> Iterator[Result]:
    """`read` of every name in order, some of them in advance."""
    workers = os.cpu_count() or 1
    running: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as threads:
        try:
            for name in names:
                running.append(threads.submit(read, name))
                if len(running) > AHEAD * workers:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()
