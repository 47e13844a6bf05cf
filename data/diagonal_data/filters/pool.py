"""The rows of a dataset under a filter: which are kept so far, and why the others are not."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from diagonal_data.filters.keep_list import UID_DTYPE, halves_of
from diagonal_data.filters.rules import KEPT
from diagonal_data.funnel import Funnel
from diagonal_data.uid_set import packed_uids


@dataclass(kw_only=True)
class Pool:
    """A row per candidate, in dataset order."""

    dataset: str
    uids: pa.ChunkedArray
    codes: np.ndarray
    """Reason of each row as its place in `names`; int16, 0 is kept."""
    names: list[str] = field(default_factory=lambda: [KEPT])
    shards: Mapping[str, int] = field(default_factory=dict)
    """Rows of each shard, in order."""
    values: pa.Table = field(default_factory=lambda: pa.table({}))
    """What later rules look at, for samples only and in any order; keys are null in samples that
    were dropped before."""
    places: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    """Where in `values` each row is; -1 for what is no sample."""
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
        packed = packed_uids(self.uids.take(pa.array(places)))
        return packed.view(">u8").astype("u8").view(UID_DTYPE)

    def halves(self, places: np.ndarray) -> np.ndarray:
        """The uids of rows as N×2 uint64."""
        return halves_of(self.packed(places))

    def key(self, name: str, places: np.ndarray) -> pa.Array:
        """A value of samples."""
        return self.values[name].take(pa.array(self.places[places])).combine_chunks()

    def times(self) -> np.ndarray:
        """How often each row is listed; int32."""
        kept = self.codes == 0
        weights = 1 if self.weights is None else self.weights
        return np.where(kept, weights, 0).astype(np.int32)

    def funnel(self) -> Funnel:
        """Counts by reason."""
        counts = np.bincount(self.codes, minlength=len(self.names))
        reasons = Counter({n: int(c) for n, c in zip(self.names, counts, strict=True) if n and c})
        return Funnel(
            input=len(self.codes), kept=int(counts[0]), reasons=dict(sorted(reasons.items()))
        )

    def reason_of(self, place: int) -> str:
        """Why a row is not kept; empty if it is."""
        return self.names[self.codes[place]]


def codes_for(reasons: pa.ChunkedArray, names: Sequence[str]) -> np.ndarray:
    """Places of reasons in `names`, all of which are there; null is 0."""
    encoded = reasons.combine_chunks().dictionary_encode()
    table = np.array([names.index(name) for name in encoded.dictionary.to_pylist()], np.int16)
    numbers = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return np.where(numbers < 0, 0, np.append(table, 0)[numbers]).astype(np.int16)
