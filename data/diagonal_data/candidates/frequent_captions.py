"""Captions that too many rows share, over all partitions.

send_captions   partition ─► OUT/captions/   the lowest lots of each caption
find_frequent   bucket    ─► OUT/frequent/   captions on more rows, the highest lot that stays
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from diagonal_data.candidates.lots import highest_lots, write_lots
from diagonal_data.candidates.stages import CAPTIONS, FREQUENT, POOL, PoolParams, write_table
from diagonal_data.candidates.uids import halves_of
from diagonal_data.filters.draws import draw
from diagonal_data.parquet import read_parquet
from diagonal_infra import storage


@dataclass(frozen=True, kw_only=True)
class Frequent:
    """Captions on too many rows, sorted by hash."""

    hashes: np.ndarray
    highest: np.ndarray
    """The highest lot of a row that stays."""


def send_captions(params: PoolParams, partition: int) -> None:
    """Write a partition's lots of captions, unless they are there."""
    path = params.path(CAPTIONS, partition)
    if storage.exists(path):
        return
    pool = read_parquet(params.path(POOL, partition), ["uid", "caption_hash", "reason"])
    alive = pool.filter(pool["reason"].is_null()).combine_chunks()
    hashes, lots = alive["caption_hash"].to_numpy(), lots_of_rows(params, alive)
    write_lots(path, hashes, lots, params.max_per_caption, params.partitions)


def find_frequent(params: PoolParams, bucket: int) -> None:
    """Write a bucket's frequent captions, unless they are there."""
    path = params.path(FREQUENT, bucket)
    if not storage.exists(path):
        table = highest_lots(params.paths(CAPTIONS), bucket, params.max_per_caption)
        write_table(path, table, {})


def read_frequent(params: PoolParams) -> Frequent | None:
    """The frequent captions of all buckets; None if any number may share a caption."""
    if not params.max_per_caption:
        return None
    table = pa.concat_tables([read_parquet(path) for path in params.paths(FREQUENT)])
    order = np.argsort(table["group"].to_numpy())
    hashes, highest = (table[name].to_numpy()[order] for name in ("group", "highest"))
    return Frequent(hashes=hashes, highest=highest)


def too_frequent(params: PoolParams, frequent: Frequent | None, alive: pa.Table) -> np.ndarray:
    """Mask of living rows of the pool that the rule drops.

    Args:
        params: with the rule.
        frequent: captions.
        alive: with `uid` and `caption_hash`.
    """
    if frequent is None or not len(frequent.hashes):
        return np.zeros(len(alive), bool)
    hashes = alive["caption_hash"].to_numpy()
    at = np.minimum(np.searchsorted(frequent.hashes, hashes), len(frequent.hashes) - 1)
    dropped = frequent.hashes[at] == hashes
    if params.dedup.frequent == "cap":
        dropped &= lots_of_rows(params, alive) > frequent.highest[at]
    return dropped


def lots_of_rows(params: PoolParams, rows: pa.Table) -> np.ndarray:
    """The lot of each row for its caption."""
    return draw(params.balance.seed, halves_of(rows["uid"].combine_chunks()), "cap")
