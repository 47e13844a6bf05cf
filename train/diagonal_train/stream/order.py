"""Which sample comes when: a pure function of (seed, position), so that the whole state of the
loader is the number of samples seen.

    epoch    the windows (runs of `window` kept samples of one shard) in an order drawn from
             (seed, epoch); epoch after epoch is the flat stream, without replacement
    round    the flat stream is cut into rounds of lanes × window positions; lane l takes the l-th
             piece of each round and shuffles it by (seed, round, l)
    batch    batch b takes the next global_batch_size / lanes positions of every lane, lane by lane

Nothing of this knows ranks or workers: these only own whole lanes, so every division of the lanes
sees the same global batches. Every kept sample occurs once per pass of the flat stream; batches
meet the end of a pass up to one round early or late. The shuffle's bias: samples of one window
come within one round of each other. With window 1 it is a uniform permutation.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from diagonal_infra.errors import UserError
from diagonal_train.stream.index import SampleIndex

EPOCH_KEY, ROUND_KEY, SAMPLE_KEY, STEP_KEY = 1, 2, 3, 4
"""What random numbers are for; the same place gives others for another purpose."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OrderPlan:
    """All that the order depends on; 16 bytes per window."""

    window_start: np.ndarray
    """Number of each window's first kept sample."""
    window_length: np.ndarray
    """Kept samples in each window; short at the end of a shard."""
    num_samples: int
    lanes: int
    window: int
    global_batch_size: int
    seed: int

    @property
    def lane_share(self) -> int:
        """Samples that each lane gives to a batch."""
        return self.global_batch_size // self.lanes


def plan_order(
    index: SampleIndex, *, lanes: int, window: int, global_batch_size: int, seed: int
) -> OrderPlan:
    """The plan for an index; a window longer than a lane's share of a pass is shortened to it."""
    assert global_batch_size % lanes == 0, (global_batch_size, lanes)
    window = min(window, max(1, len(index) // lanes))
    start, length = _windows(index.repetition, index.shard, window)
    return OrderPlan(
        window_start=start,
        window_length=length,
        num_samples=len(index),
        lanes=lanes,
        window=window,
        global_batch_size=global_batch_size,
        seed=seed,
    )


def positions_for_batch(plan: OrderPlan, batch_index: int, lanes: range) -> np.ndarray:
    """Flat stream positions of a batch's samples in `lanes`, lane-major, int64."""
    turns = np.arange(batch_index * plan.lane_share, (batch_index + 1) * plan.lane_share)
    rounds, slots = np.divmod(turns, plan.window)
    positions = np.empty((len(lanes), plan.lane_share), np.int64)
    for row, lane in enumerate(lanes):
        shuffled = slots
        if plan.window > 1:
            shuffled = np.empty_like(slots)
            for number in range(int(rounds[0]), int(rounds[-1]) + 1):
                inside = rounds == number
                order = generator_for(plan.seed, ROUND_KEY, number, lane).permutation(plan.window)
                shuffled[inside] = order[slots[inside]]
        positions[row] = (rounds * plan.lanes + lane) * plan.window + shuffled
    return positions.reshape(-1)


def samples_at(plan: OrderPlan, positions: np.ndarray) -> np.ndarray:
    """Numbers of the kept samples that stand at flat stream positions."""
    epochs, places = np.divmod(positions, plan.num_samples)
    samples = np.empty(len(positions), np.int64)
    for epoch in np.unique(epochs):
        inside = epochs == epoch
        order, ends = _epoch(plan, int(epoch))
        turn = np.searchsorted(ends, places[inside], "right")
        window = order[turn]
        begin = ends[turn] - plan.window_length[window]
        samples[inside] = plan.window_start[window] + places[inside] - begin
    return samples


def lanes_of(lanes: int, *, part: int, parts: int) -> range:
    """The lanes that one of `parts` owners (ranks × workers) reads.

    Raises:
        UserError: the owners do not divide the lanes.
    """
    if lanes % parts:
        fitting = [n for n in range(1, lanes + 1) if lanes % n == 0]
        nearest = [*[n for n in fitting if n < parts][-1:], *[n for n in fitting if n > parts][:1]]
        fits = " or ".join(map(str, nearest))
        more = -(-lanes // parts) * parts
        raise UserError(
            f"{parts} decoding processes (ranks × --stream.num-workers) do not divide "
            f"--stream.lanes {lanes}; use {fits} of them, or --stream.lanes {more}"
        )
    share = lanes // parts
    return range(part * share, (part + 1) * share)


def generator_for(seed: int, purpose: int, first: int, second: int = 0) -> np.random.Generator:
    """Random numbers that depend on nothing but the arguments."""
    return np.random.Generator(
        # The counter's lowest word counts the draws; the others name the place.
        np.random.Philox(key=seed, counter=np.array([0, first, second, purpose], np.uint64))
    )


@lru_cache(maxsize=4)
def _epoch(plan: OrderPlan, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """The windows' order in an epoch, and the position in the epoch at which each ends."""
    order = generator_for(plan.seed, EPOCH_KEY, epoch).permutation(len(plan.window_start))
    return order, np.cumsum(plan.window_length[order])


def _windows(
    repetition: np.ndarray, shard: np.ndarray, window: int
) -> tuple[np.ndarray, np.ndarray]:
    """First sample and length of each run of at most `window` samples of one shard."""
    changes = np.flatnonzero((np.diff(shard) != 0) | (np.diff(repetition) != 0)) + 1
    begins = np.concatenate([[0], changes])
    ends = np.concatenate([changes, [len(shard)]])
    counts = -(-(ends - begins) // window)
    first = np.repeat(begins, counts)
    turn = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    start = first + turn * window
    return start, np.minimum(window, np.repeat(ends, counts) - start)
