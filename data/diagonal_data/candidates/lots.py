"""The lowest lots of each group, when the rows of a group are spread over all partitions.

    write_lots   partition ─► OUT/…/PARTITION.parquet, cut by group: as many rows as can matter
    highest_lots bucket    ─► of each group with more than `most` rows, the highest lot that stays

A partition sends at most one row more of a group than may stay: these tell both whether a group has
too many, and where its lots end. So a group with a billion rows costs no memory.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from diagonal_data.candidates.exchange import read_partition, write_partitioned


def write_lots(
    path: str, groups: np.ndarray, lots: np.ndarray, most: np.ndarray | int, buckets: int
) -> None:
    """Write what one partition knows.

    Args:
        path: of the file.
        groups: of each row, uint64.
        lots: of each row, uint64.
        most: rows that may stay, of each group by its number; or one for all groups.
        buckets: that groups are spread over.
    """
    groups, lots = _ordered(groups, lots)
    chosen = _ranks(groups) <= _most_of(groups, most)
    groups, lots = groups[chosen], lots[chosen]
    table = pa.table({"group": groups, "lot": lots})
    write_partitioned(path, table, (groups % np.uint64(buckets)).astype(np.int64), {})


def highest_lots(paths: Sequence[str], bucket: int, most: np.ndarray | int) -> pa.Table:
    """`group` and `highest` lot that stays, for the groups of a bucket that have more rows."""
    tables = read_partition(paths, bucket)
    columns = [[table[name].to_numpy() for table in tables] for name in ("group", "lot")]
    groups, lots = (np.concatenate([np.zeros(0, np.uint64), *parts]) for parts in columns)
    groups, lots = _ordered(groups, lots)
    beyond = np.flatnonzero(_ranks(groups) == _most_of(groups, most))
    return pa.table({"group": groups[beyond], "highest": lots[beyond - 1]})


def _ordered(groups: np.ndarray, lots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.lexsort((lots, groups))
    return groups[order], lots[order]


def _most_of(groups: np.ndarray, most: np.ndarray | int) -> np.ndarray | int:
    return most[groups.astype(np.int64)] if isinstance(most, np.ndarray) else most


def _ranks(groups: np.ndarray) -> np.ndarray:
    """Place of each row in its group; groups are sorted."""
    begins = np.flatnonzero(np.diff(groups, prepend=~groups[:1]) != 0)
    return np.arange(len(groups)) - np.repeat(begins, np.diff(begins, append=len(groups)))
