"""One partition of the pool to a part of the result: who stays, with what probability."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from diagonal_data.candidates.balance import Draw, cap_rows, draw_rows, probabilities
from diagonal_data.candidates.counts import LIGHT, read_limits, read_totals
from diagonal_data.candidates.exchange import read_facts
from diagonal_data.candidates.frequent_captions import read_frequent, too_frequent
from diagonal_data.candidates.pool_part import PoolReason
from diagonal_data.candidates.stages import POOL, PoolParams, write_table
from diagonal_data.candidates.uids import halves_of, hex_of
from diagonal_data.parquet import read_parquet
from diagonal_data.schema import CANDIDATE_SCHEMA
from diagonal_infra import storage

KEPT = "kept"


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Rows of a partition that become candidates."""

    places: np.ndarray
    """In the pool's file."""
    uids: pa.Array
    keep_p: np.ndarray | None
    rows: Counter[str]
    """All rows, by what became of them."""


def part_path(output: str, partition: int) -> str:
    """Where a partition's candidates are."""
    return storage.join(output, f"part-{partition:05d}.parquet")


def draw_part(params: PoolParams, partition: int) -> dict[str, int]:
    """Write a partition's candidates, sorted by uid, unless they are there; rows by reason."""
    path = part_path(params.output, partition)
    if not storage.exists(path):
        chosen = choose(params, partition)
        write_table(path, part_table(params, partition, chosen), {"rows": dict(chosen.rows)})
    return read_facts(path)["rows"]


def choose(params: PoolParams, partition: int) -> Chosen:
    """Which rows stay; only the columns that decide are read."""
    pool = read_parquet(params.path(POOL, partition), LIGHT).combine_chunks()
    places = np.flatnonzero(np.asarray(pool["reason"].is_null()))
    rows: Counter[str] = Counter()
    for pair in pool["reason"].drop_null().value_counts().to_pylist():
        rows[pair["values"]] += pair["counts"]
    alive = pool.take(pa.array(places)).combine_chunks()
    frequent = too_frequent(params, read_frequent(params), alive)
    rows[PoolReason.FREQUENT_CAPTION] += int(frequent.sum())
    if frequent.any():
        places, alive = places[~frequent], alive.filter(pa.array(~frequent)).combine_chunks()
    keep_p = None
    if params.balance.metadata is not None and params.balance.rule != "none":
        drawn = balanced(params, alive)
        unmatched = alive["matches"].combine_chunks().value_lengths().to_numpy() == 0
        rows[PoolReason.NO_ENTRY] += int(unmatched.sum())
        rows[PoolReason.BALANCED_AWAY] += int((~drawn.stays & ~unmatched).sum())
        stays = np.flatnonzero(drawn.stays)
        places, alive, keep_p = places[stays], alive.take(pa.array(stays)), drawn.keep_p[stays]
    rows[KEPT] += len(places)
    uids = alive["uid"].combine_chunks()
    halves = halves_of(uids)
    order = np.lexsort((halves[:, 1], halves[:, 0]))
    return Chosen(
        places=places[order],
        uids=uids.take(pa.array(order)),
        keep_p=None if keep_p is None else keep_p[order],
        rows=+rows,
    )


def balanced(params: PoolParams, alive: pa.Table) -> Draw:
    """The draw over living rows."""
    counts, limits = read_totals(params.output)
    lists = alive["matches"].combine_chunks()
    lengths = lists.value_lengths().to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    halves, places = halves_of(alive["uid"].combine_chunks()), lists.flatten().to_numpy()
    chances, seed = probabilities(counts, limits), params.balance.seed
    if params.balance.rule == "cap":
        highest = read_limits(params, len(counts))
        return cap_rows(halves, offsets, places, chances, highest, seed)
    return draw_rows(halves, offsets, places, chances, seed)


def part_table(params: PoolParams, partition: int, chosen: Chosen) -> pa.Table:
    """The candidates."""
    names = [name for name in CANDIDATE_SCHEMA.names if name not in ("uid", "keep_p")]
    pool = read_parquet(params.path(POOL, partition), names)
    columns = dict(zip(names, pool.take(pa.array(chosen.places)).columns, strict=True))
    keep_p = chosen.keep_p if chosen.keep_p is not None else pa.nulls(len(chosen.places))
    columns |= {"uid": hex_of(chosen.uids), "keep_p": pa.array(keep_p, pa.float32())}
    return pa.table(columns).select(CANDIDATE_SCHEMA.names).cast(CANDIDATE_SCHEMA)
