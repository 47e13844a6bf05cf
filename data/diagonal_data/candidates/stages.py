"""The stages behind reading: what they depend on, and where their files are.

    OUT/pool/PARTITION.parquet       one row for each that was read: candidate columns and `reason`
    OUT/captions/PARTITION.parquet   lots of each caption      (--dedup.max-per-caption)
    OUT/frequent/BUCKET.parquet      captions on too many rows, and the highest lot that stays
    OUT/counts/PARTITION.parquet     rows of each entry
    OUT/lots/PARTITION.parquet       lowest lots of each entry (--balance.rule cap)
    OUT/limits/BUCKET.parquet        the highest lot that each entry keeps
    OUT/draw/stage.json              stands for OUT/part-PARTITION.parquet

A folder's stage.json holds the digest of all that its files depend on. Files of another digest are
removed; a file that is there is done. So another t repeats the draw and nothing before it.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from diagonal_data.candidates.clean_recipes import CLEAN
from diagonal_data.candidates.clean_rules import CleanRules
from diagonal_data.candidates.config import BalanceConfig, DedupConfig
from diagonal_data.candidates.exchange import FACTS, REPEATING
from diagonal_infra import storage

VERSION = 1
"""Of the rules as a whole: a change of code that changes results must change it."""
STAGE = "stage.json"
READ, POOL, CAPTIONS, FREQUENT, COUNTS, LOTS, LIMITS, DRAW = (
    *("read", "pool", "captions", "frequent", "counts", "lots", "limits", "draw"),
)


@dataclass(frozen=True, kw_only=True)
class PoolParams:
    """What a worker must know of all stages behind reading."""

    output: str
    partitions: int
    clean: str
    """Name in `CLEAN`."""
    detect_language: bool
    languages: tuple[str, ...]
    """Of captions that stay; empty: those of the cleaning recipe."""
    dedup: DedupConfig
    balance: BalanceConfig
    entries_digest: str | None = None
    """Of the metadata; set by `make_parts`, so that all workers use the same."""

    @property
    def rules(self) -> CleanRules:
        """The recipe's."""
        return CLEAN[self.clean]

    @property
    def kept_languages(self) -> frozenset[str]:
        """Languages of captions that stay; empty: all."""
        return frozenset(self.languages) or self.rules.languages

    @property
    def max_per_caption(self) -> int:
        """Most rows with one caption; 0: any number."""
        return self.dedup.max_per_caption or self.rules.max_per_caption

    def path(self, folder: str, number: int) -> str:
        """The file of a partition or bucket."""
        return storage.join(self.output, folder, f"{number:05d}.parquet")

    def paths(self, folder: str) -> list[str]:
        """The files of all partitions or buckets."""
        return [self.path(folder, number) for number in range(self.partitions)]

    @cached_property
    def read_paths(self) -> list[str]:
        """What reading left, in the order of names."""
        folder = storage.join(self.output, READ)
        return [storage.join(folder, name) for name in storage.list_files(folder, ".parquet")]

    def digest(self, stage: str) -> str:
        """Of all that the files of a stage depend on, those of the stages before included."""
        pool = [VERSION, self.partitions, [path.rsplit("/", 1)[-1] for path in self.read_paths]]
        pool += [asdict(self.rules), self.detect_language, sorted(self.kept_languages)]
        pool += [asdict(self.dedup), self.entries_digest]
        if self.dedup.by == "url" or self.max_per_caption:
            pool.append(self.balance.seed)
        parts = (
            [pool] if stage in (POOL, CAPTIONS, FREQUENT, COUNTS) else [pool, asdict(self.balance)]
        )
        return hashlib.blake2b(
            json.dumps(parts, default=sorted).encode(), digest_size=16
        ).hexdigest()


def settle(folder: str, digest: str, remove: Callable[[], None] = lambda: None) -> None:
    """Make a stage's folder one of this digest; files of another are removed.

    Args:
        folder: of the stage.
        digest: of what its files depend on.
        remove: also removes those of its files that are elsewhere.
    """
    path = storage.join(folder, STAGE)
    if storage.exists(path):
        if json.loads(storage.read_bytes(path))["digest"] == digest:
            return
        storage.delete(path)
    for name in storage.list_files(folder):
        storage.delete(storage.join(folder, name))
    storage.delete_partials(folder)
    remove()
    storage.write_bytes(path, json.dumps({"digest": digest}).encode())


def write_table(
    path: str, table: pa.Table, facts: Mapping[str, Any], *, compression: str = "zstd"
) -> None:
    """Write a table whole, with facts that `exchange.read_facts` reads."""
    record = json.dumps({"groups": [0], "facts": dict(facts)}).encode()
    repeating = [name for name in REPEATING if name in table.column_names]
    with storage.write_whole(path) as file:
        pq.write_table(
            table.replace_schema_metadata({FACTS: record}),
            file,
            compression=compression,
            use_dictionary=repeating,  # pyright: ignore[reportArgumentType]  # stubs know no lists
        )
