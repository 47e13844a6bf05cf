"""A span of a shard that is read together, and the runs of it that are needed."""

from dataclasses import dataclass

import numpy as np

MAX_GAP = 256 * 2**10
"""Bytes between two samples that are read over rather than asked for apart: about what a store
sends in the time one more request takes."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A byte span of a shard that holds a run of samples."""

    shard: int
    begin: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Spans `begins[i]:ends[i]` of a shard, rising and apart."""

    begins: list[int]
    ends: list[int]

    @property
    def num_bytes(self) -> int:
        """All spans together."""
        return sum(self.ends) - sum(self.begins)


def merged_runs(offsets: np.ndarray, lengths: np.ndarray, max_gap: int = MAX_GAP) -> Runs:
    """The spans that hold all samples, with no gap over `max_gap` in any."""
    order = np.argsort(offsets, kind="stable")
    begins = offsets[order]
    ends = np.maximum.accumulate(begins + lengths[order])
    last = np.flatnonzero(begins[1:] - ends[:-1] > max_gap)
    return Runs(
        begins=begins[np.concatenate([[0], last + 1])].tolist(),
        ends=ends[np.concatenate([last, [len(ends) - 1]])].tolist(),
    )
