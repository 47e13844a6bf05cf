"""Rows of each entry over the whole pool, and what follows from them.

count_entries   partition ─► OUT/counts/PARTITION.parquet   entry's place, rows
total_counts    all       ─► OUT/counts/entries.parquet            entry, language, rows
send_lots       partition ─► OUT/lots/                      lowest lots of common entries
find_limits     bucket    ─► OUT/limits/                    the highest lot that each keeps
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from diagonal_data.candidates.balance import lots_of, thresholds
from diagonal_data.candidates.entries import Entries
from diagonal_data.candidates.exchange import read_facts
from diagonal_data.candidates.frequent_captions import Frequent, read_frequent, too_frequent
from diagonal_data.candidates.lots import highest_lots, write_lots
from diagonal_data.candidates.stages import COUNTS, LIMITS, LOTS, POOL, PoolParams, write_table
from diagonal_data.candidates.uids import halves_of
from diagonal_data.parquet import read_parquet
from diagonal_infra import storage

TOTALS = "counts/entries.parquet"
SIGMAS, FEW = 10, 100
"""How far beyond the expected one the t-th lowest lot may lie: never, in practice, further."""
LIGHT = ("uid", "matches", "caption_hash", "reason")


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Entries and their rows, by place."""

    texts: Sequence[str]
    counts: np.ndarray
    """Rows in the pool, before balancing."""
    limits: np.ndarray
    """The t of each."""
    t: int
    """As asked for; per language, that of English."""


def count_entries(params: PoolParams, partition: int) -> None:
    """Write a partition's counts, unless they are there."""
    path = params.path(COUNTS, partition)
    if storage.exists(path):
        return
    alive = living_rows(params, partition, read_frequent(params))
    counts = np.bincount(alive["matches"].combine_chunks().flatten().to_numpy())
    places = np.flatnonzero(counts)
    write_table(path, pa.table({"place": places, "rows": counts[places]}), {})


def living_rows(params: PoolParams, partition: int, frequent: Frequent | None) -> pa.Table:
    """`LIGHT` columns of the rows that go into balancing."""
    pool = read_parquet(params.path(POOL, partition), LIGHT)
    alive = pool.filter(pool["reason"].is_null()).combine_chunks()
    dropped = too_frequent(params, frequent, alive)
    return alive.filter(pa.array(~dropped)).combine_chunks() if dropped.any() else alive


def total_counts(params: PoolParams, entries: Entries) -> None:
    """Write all entries with their rows."""
    counts = np.zeros(len(entries.texts), np.int64)
    for path in params.paths(COUNTS):
        table = read_parquet(path)
        counts[table["place"].to_numpy()] += table["rows"].to_numpy()
    rule = params.balance
    limits = thresholds(counts, entries.sets, rule.t, per_language=rule.per_language)
    table = pa.table(
        {
            "entry": pa.array(entries.texts, pa.large_string()),
            "language": np.repeat(list(entries.sets), [len(r) for r in entries.sets.values()]),
            "rows": counts,
            "t": limits,
        }
    )
    write_table(storage.join(params.output, TOTALS), table, {"t": rule.t})


def read_counts(output: str) -> Counted | None:
    """What `total_counts` wrote; None without metadata."""
    path = storage.join(output, TOTALS)
    if not storage.exists(path):
        return None
    texts = read_parquet(path, ["entry"])["entry"].to_pylist()
    counts, limits = read_totals(output)
    return Counted(texts=texts, counts=counts, limits=limits, t=read_facts(path)["t"])


def read_totals(output: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows and t of each entry."""
    table = read_parquet(storage.join(output, TOTALS), ["rows", "t"])
    return table["rows"].to_numpy(), table["t"].to_numpy()


def send_lots(params: PoolParams, partition: int) -> None:
    """Write the lots of entries with more than t rows that may be among their t lowest."""
    path = params.path(LOTS, partition)
    if storage.exists(path):
        return
    counts, limits = read_totals(params.output)
    alive = living_rows(params, partition, read_frequent(params))
    lists = alive["matches"].combine_chunks()
    places = lists.flatten().to_numpy()
    owners = np.repeat(np.arange(len(alive)), lists.value_lengths().to_numpy())
    common = np.flatnonzero((counts > limits)[places])
    places, owners = places[common], owners[common]
    lots = lots_of(halves_of(alive["uid"].combine_chunks())[owners], places, params.balance.seed)
    low = lots <= _bounds(counts, limits)[places]
    write_lots(path, places[low].astype(np.uint64), lots[low], limits, params.partitions)


def find_limits(params: PoolParams, bucket: int) -> None:
    """Write the highest lots of a bucket's entries, unless they are there."""
    path = params.path(LIMITS, bucket)
    if storage.exists(path):
        return
    counts, limits = read_totals(params.output)
    table = highest_lots(params.paths(LOTS), bucket, limits)
    common = np.flatnonzero(counts > limits)
    expected = np.count_nonzero(common % params.partitions == bucket)
    assert len(table) == expected, f"{expected - len(table)} entries without their t lowest lots"
    write_table(path, table, {})


def read_limits(params: PoolParams, num_entries: int) -> np.ndarray:
    """The highest lot that each entry keeps; the highest there is where all rows stay."""
    highest = np.full(num_entries, 2**64 - 1, np.uint64)
    for path in params.paths(LIMITS):
        table = read_parquet(path)
        highest[table["group"].to_numpy().astype(np.int64)] = table["highest"].to_numpy()
    return highest


def _bounds(counts: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Lots above these are never among an entry's t lowest, as they are uniform."""
    shares = (limits + SIGMAS * np.sqrt(limits) + FEW) / np.maximum(counts, 1)
    return (np.minimum(shares, 1 - 2**-53) * 2.0**64).astype(np.uint64)
