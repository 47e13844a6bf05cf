"""From what was read to parts: the stages in order, each a map over partitions.

build_pool                  clean, remove copies, match          read/  → pool/
send_captions, find_frequent   captions on too many rows         pool/  → frequent/
count_entries, total_counts    rows of each entry                pool/  → counts/entries.parquet
send_lots, find_limits         of --balance.rule cap             pool/  → limits/
draw_part                      who stays                         pool/  → part-*.parquet
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from diagonal_data.candidates.counts import (
    TOTALS,
    count_entries,
    find_limits,
    send_lots,
    total_counts,
)
from diagonal_data.candidates.draw_part import draw_part
from diagonal_data.candidates.entries import read_entries
from diagonal_data.candidates.frequent_captions import find_frequent, send_captions
from diagonal_data.candidates.pool_part import build_pool
from diagonal_data.candidates.stages import (
    CAPTIONS,
    COUNTS,
    DRAW,
    FREQUENT,
    LIMITS,
    LOTS,
    POOL,
    PoolParams,
    settle,
)
from diagonal_infra import storage, tally

Result = TypeVar("Result")
Run = Callable[[Callable[[int], Result], Sequence[int]], Iterator[tuple[int, Result]]]
"""Maps a function over numbers, on Ray or here; results in any order."""


def make_parts(params: PoolParams, run: Run) -> dict[str, int]:
    """Write OUT/part-*.parquet; rows by what became of them, `kept` for candidates.

    What an earlier run has made with the same flags is used; the result is the same.

    Raises:
        UserError: --balance.metadata is no list of entries.
    """
    metadata = params.balance.metadata
    entries = read_entries(metadata, "--balance.metadata") if metadata is not None else None
    if entries is not None:
        params = replace(params, entries_digest=entries.digest)
    settle_all(params)

    def stage(function: Callable[[PoolParams, int], object]) -> None:
        for _ in run(partial(function, params), range(params.partitions)):
            pass

    stage(build_pool)
    if params.max_per_caption:
        stage(send_captions)
        stage(find_frequent)
    if entries is not None:
        stage(count_entries)
        total_counts(params, entries)
        if params.balance.rule == "cap":
            stage(send_lots)
            stage(find_limits)
    else:
        storage.delete(storage.join(params.output, TOTALS))
    rows: Counter[str] = Counter()
    for _, counts in run(partial(draw_part, params), range(params.partitions)):
        rows.update(counts)
        tally.now().add_items("rows", counts)
    return dict(rows)


def settle_all(params: PoolParams) -> None:
    """Remove what other flags or other input left."""
    for name in (POOL, CAPTIONS, FREQUENT, COUNTS, LOTS, LIMITS):
        settle(storage.join(params.output, name), params.digest(name))

    def remove_parts() -> None:
        for name in storage.list_files(params.output, ".parquet"):
            if name.startswith("part-"):
                storage.delete(storage.join(params.output, name))

    settle(storage.join(params.output, DRAW), params.digest(DRAW), remove_parts)
