"""The shards of a dataset at one moment, and how its rows are numbered.

    place of a row = starts[shard] + its number among the shard's latest rows

A place fits in four bytes and stays what it is while the manifest does; takedowns do not move it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from diagonal_data.manifest import manifest_path, read_manifest, shard_passes
from diagonal_data.rows import Superseded, read_shard_rows
from diagonal_data.tombstones import tombstones_path
from diagonal_data.uid_set import packed_uids
from diagonal_infra import storage
from diagonal_infra.errors import UserError

Stamp = tuple[float | None, int]


class NotThereError(UserError):
    """Something that the dataset does not have was asked for."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What `read_snapshot` found."""

    dataset: str
    stamp: tuple[Stamp, Stamp]
    shards: tuple[dict[str, Any], ...]
    """As the manifest has them, in order."""
    names: tuple[str, ...]
    passes: dict[str, int]
    starts: dict[str, int]
    total: int
    """Places; some have no row, where a retry took its place."""

    @cached_property
    def superseded(self) -> Superseded:
        """Rows that a later retry pass has fetched again."""
        return Superseded(self.dataset, self.passes)

    @cached_property
    def _bounds(self) -> np.ndarray:
        return np.array([self.starts[name] for name in self.names])

    def check(self, shard: str) -> str:
        """The name, if the manifest has a shard of that name.

        Raises:
            NotThereError: it has none.
        """
        if shard not in self.starts:
            raise NotThereError(f"no shard {shard!r} in {self.dataset!r}")
        return shard

    def locate(self, place: int) -> tuple[str, int]:
        """Shard and number of a row.

        Raises:
            NotThereError: there is no such place.
        """
        if not 0 <= place < self.total:
            raise NotThereError(f"no row at place {place}")
        name = self.names[int(self._bounds.searchsorted(place, "right")) - 1]
        return name, place - self.starts[name]

    def latest(self, shard: str, uids: pa.ChunkedArray) -> np.ndarray | None:
        """Mask of a shard's rows that count; None if all do."""
        if self.superseded.is_empty:
            return None
        return ~self.superseded.mask(packed_uids(uids), self.passes[shard])

    def latest_rows(self, shard: str, columns: Sequence[str]) -> pa.Table:
        """A shard's rows that count, with these columns, of which `uid` is one."""
        rows = read_shard_rows(self.dataset, shard, columns)
        mask = self.latest(shard, rows["uid"])
        return rows if mask is None else rows.filter(pa.array(mask))

    def stored_rows(self, shard: str, columns: Sequence[str]) -> pa.Table:
        """A shard's stored rows, superseded ones too, with these columns: what scores are of."""
        rows = read_shard_rows(self.dataset, shard, [*columns, "status"])
        return rows.filter(pc.field("status") == "success")


def stamp_of(dataset: str) -> tuple[Stamp, Stamp]:
    """Changes when the dataset's shards or tombstones do."""
    return _stamp(manifest_path(dataset)), _stamp(tombstones_path(dataset))


def read_snapshot(dataset: str) -> Snapshot:
    """The finished shards.

    Raises:
        UserError: no dataset, or one without a finished shard.
    """
    stamp = stamp_of(dataset)
    passes = shard_passes(dataset)
    shards = read_manifest(dataset)["shards"]
    counts = [shard["candidates"] for shard in shards]
    starts = dict(zip(passes, accumulate(counts, initial=0), strict=False))
    return Snapshot(
        dataset=dataset,
        stamp=stamp,
        shards=tuple(shards),
        names=tuple(passes),
        passes=passes,
        starts=starts,
        total=sum(counts),
    )


def _stamp(path: str) -> Stamp:
    if not storage.exists(path):
        return None, 0
    return storage.modified(path), storage.size(path)
