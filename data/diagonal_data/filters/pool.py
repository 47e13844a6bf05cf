"""The rows of a dataset under a filter: which are kept so far, and why the others are not."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa

from diagonal_data.filters.keep_list import halves_of
from diagonal_data.filters.rules import KEPT
from diagonal_data.funnel import Funnel


@dataclass(kw_only=True)
class Pool:
    """A row per candidate, in dataset order."""

    dataset: str
    uids: np.ndarray
    """`UID_DTYPE`."""
    codes: np.ndarray
    """Reason of each row as its place in `names`; int16, 0 is kept."""
    names: list[str] = field(default_factory=lambda: [KEPT])
    shards: Mapping[str, int] = field(default_factory=dict)
    """Rows of each shard, in order."""
    values: pa.Table = field(default_factory=lambda: pa.table({}))
    """What later rules look at, for samples only; keys are null in samples that were dropped
    before."""
    is_sample: np.ndarray = field(default_factory=lambda: np.empty(0, bool))
    """Which rows are samples."""
    weights: np.ndarray | None = None
    """Times listed; None is once each."""

    def kept(self) -> np.ndarray:
        """Places of the rows that are kept so far."""
        return np.flatnonzero(self.codes == 0)

    def code(self, reason: str) -> int:
        """The number of a reason, a new one if need be."""
        if reason not in self.names:
            self.names.append(reason)
        return self.names.index(reason)

    def drop(self, reason: str, places: np.ndarray) -> None:
        """Drop rows that were kept."""
        if len(places):
            self.codes[places] = self.code(reason)

    def packed(self, places: np.ndarray) -> np.ndarray:
        """The uids of rows, as in a keep list."""
        return self.uids[places]

    def halves(self, places: np.ndarray) -> np.ndarray:
        """The uids of rows as N×2 uint64."""
        return halves_of(self.packed(places))

    def key(self, name: str, places: np.ndarray) -> pa.Array:
        """A value of samples."""
        return self.values[name].take(pa.array(self._numbers[places])).combine_chunks()

    @cached_property
    def sample_places(self) -> np.ndarray:
        """Place of each sample."""
        return np.flatnonzero(self.is_sample)

    @cached_property
    def _numbers(self) -> np.ndarray:
        """Of each sample among the samples, by its place."""
        return np.cumsum(self.is_sample) - 1

    def times(self, places: np.ndarray | slice = slice(None)) -> np.ndarray:
        """How often each row is listed; int32."""
        kept = self.codes[places] == 0
        return kept.astype(np.int32) if self.weights is None else kept * self.weights[places]

    def funnel(self) -> Funnel:
        """Counts by reason."""
        counts = [np.count_nonzero(self.codes == code) for code in range(len(self.names))]
        reasons = Counter({n: int(c) for n, c in zip(self.names, counts, strict=True) if n and c})
        return Funnel(
            input=len(self.codes), kept=int(counts[0]), reasons=dict(sorted(reasons.items()))
        )

    def reason_of(self, place: int) -> str:
        """Why a row is not kept; empty if it is."""
        return self.names[self.codes[place]]
