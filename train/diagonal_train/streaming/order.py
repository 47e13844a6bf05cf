"""Which sample comes when: a pure function of (seed, position), so that the whole state of the
loader is the number of samples seen.

    source   passes over its windows (runs of `window` kept samples), each pass in an order of its
             own: every sample once, then every sample again, …
    pass     weight × samples of each source, taken from where its last pass ended; the windows of
             all sources are mixed; pass after pass is the flat stream
    round    the flat stream is cut into rounds of lanes × window positions; lane l takes the l-th
             piece of each round and shuffles it by (seed, round, l)
    batch    batch b takes the next global_batch_size / lanes positions of every lane, lane by lane

Nothing of this knows ranks or workers: these only own whole lanes, so every division of the lanes
sees the same global batches. Nor does it know shards: a filtered dataset and one that was resharded
with the same filter give the same stream.

After any number of passes each sample of a source has come weight × passes times, rounded up or
down; batches meet the end of a pass up to one round early or late. The shuffle's bias: samples of
one window come within one round of each other. With window 1 it is a uniform permutation.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from diagonal_train.streaming.index import SampleIndex

SOURCE_KEY, ROUND_KEY, SAMPLE_KEY, STEP_KEY, PASS_KEY = 1, 2, 3, 4, 5
"""What random numbers are for; the same place gives others for another purpose."""
GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a source's windows and samples begin among all, and what a pass takes of it."""

    windows: range
    samples: int
    share: int
    """Samples of it in every pass."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OrderPlan:
    """All that the order depends on; 16 bytes per window."""

    window_start: np.ndarray
    """Number of each window's first kept sample."""
    window_length: np.ndarray
    """Kept samples in each window; short at the end of a source or repetition."""
    sources: tuple[Source, ...]
    lanes: int
    window: int
    global_batch_size: int
    seed: int
    replacement: bool

    @property
    def num_samples(self) -> int:
        """Positions of one pass."""
        return sum(source.share for source in self.sources)

    @property
    def lane_share(self) -> int:
        """Samples that each lane gives to a batch."""
        return self.global_batch_size // self.lanes


def plan_order(
    index: SampleIndex,
    *,
    lanes: int,
    window: int,
    global_batch_size: int,
    seed: int,
    weights: tuple[float, ...] = (),
    replacement: bool = False,
) -> OrderPlan:
    """The plan for an index; a window longer than a lane's share of a pass is shortened to it.

    Args:
        index: the kept samples, source after source.
        lanes: parts of the stream; they divide `global_batch_size`.
        window: most samples of a window.
        global_batch_size: samples of a batch over all ranks.
        seed: of everything that is drawn.
        weights: how often a pass has each sample of a source; () is once each.
        replacement: draw the windows of a pass with replacement.
    """
    assert global_batch_size % lanes == 0, (global_batch_size, lanes)
    ends = index.source_ends.tolist()
    begins = [0, *ends[:-1]]
    weights = weights or (1.0,) * len(ends)
    shares = [
        max(1, round(weight * (end - begin)))
        for weight, begin, end in zip(weights, begins, ends, strict=True)
    ]
    window = min(window, max(1, sum(shares) // lanes))
    start, length = _windows(index, window)
    edges = np.searchsorted(start, [*begins, len(index)]).tolist()
    sources = tuple(
        Source(windows=range(edges[s], edges[s + 1]), samples=ends[s] - begins[s], share=share)
        for s, share in enumerate(shares)
    )
    return OrderPlan(
        window_start=start,
        window_length=length,
        sources=sources,
        lanes=lanes,
        window=window,
        global_batch_size=global_batch_size,
        seed=seed,
        replacement=replacement,
    )


def positions_for_batch(plan: OrderPlan, batch_index: int, lanes: range) -> np.ndarray:
    """Flat stream positions of a batch's samples in `lanes`, lane-major, int64."""
    turns = np.arange(batch_index * plan.lane_share, (batch_index + 1) * plan.lane_share)
    rounds, slots = np.divmod(turns, plan.window)
    shuffled = np.broadcast_to(slots, (len(lanes), plan.lane_share))
    if plan.window > 1:
        shuffled = np.concatenate(
            [
                _round_orders(plan.seed, number, lanes, plan.window)[:, slots[rounds == number]]
                for number in range(int(rounds[0]), int(rounds[-1]) + 1)
            ],
            axis=1,
        )
    pieces = rounds * plan.lanes + np.array(lanes)[:, None]
    return (pieces * plan.window + shuffled).reshape(-1)


def samples_at(plan: OrderPlan, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the kept samples at flat stream positions, and of their windows; int64."""
    passes, places = np.divmod(positions, plan.num_samples)
    samples = np.empty(len(positions), np.int64)
    windows = np.empty(len(positions), np.int64)
    for number in np.unique(passes):
        inside = passes == number
        mixed = _pass(plan, int(number))
        turn = np.searchsorted(mixed.end, places[inside], "right")
        samples[inside] = mixed.first[turn] + places[inside] - mixed.end[turn] + mixed.length[turn]
        windows[inside] = mixed.window[turn]
    return samples, windows


def positions_of_rounds(plan: OrderPlan, rounds: range, lanes: range) -> np.ndarray:
    """All flat stream positions that `lanes` read in `rounds`, int64."""
    pieces = np.array(rounds)[:, None] * plan.lanes + np.array(lanes)
    return (pieces.reshape(-1, 1) * plan.window + np.arange(plan.window)).reshape(-1)


def generator_for(seed: int, purpose: int, first: int, second: int = 0) -> np.random.Generator:
    """Random numbers that depend on nothing but the arguments."""
    return np.random.Generator(
        # The counter's lowest word counts the draws; the others name the place.
        np.random.Philox(key=seed, counter=np.array([0, first, second, purpose], np.uint64))
    )


def uniforms_at(seed: int, positions: np.ndarray, width: int) -> np.ndarray:
    """`width` uniforms in [0, 1) for each position, B×width float64, from nothing but these.

    SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), whose n-th output can be had without those
    before it; a generator for each sample would take longer than reading the sample.
    """
    start = _start_of(seed)
    counters = positions.astype(np.uint64)[:, None] * np.uint64(width)
    z = start + (counters + np.arange(1, width + 1, dtype=np.uint64)) * GOLDEN_GAMMA
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)) * 2.0**-53


@lru_cache(maxsize=16)
def _start_of(seed: int) -> np.uint64:
    """Where SplitMix64 begins with a seed."""
    return generator_for(seed, SAMPLE_KEY, 0).integers(2**64, dtype=np.uint64)


@dataclass(frozen=True, eq=False)
class _Pass:
    """Runs of samples in the order of one pass."""

    window: np.ndarray
    first: np.ndarray
    """Number of each run's first sample."""
    length: np.ndarray
    end: np.ndarray
    """Position in the pass behind each run."""


@lru_cache(maxsize=4)
def _pass(plan: OrderPlan, number: int) -> _Pass:
    """One pass: each source's next runs, mixed."""
    parts = [_next_runs(plan, s, number) for s in range(len(plan.sources))]
    window, first, length = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = generator_for(plan.seed, PASS_KEY, number).permutation(len(window))
    length = length[order]
    return _Pass(window[order], first[order], length, np.cumsum(length))


def _next_runs(plan: OrderPlan, s: int, number: int) -> tuple[np.ndarray, ...]:
    """Window, first sample and length of the runs that pass `number` has of source `s`."""
    source = plan.sources[s]
    begin, end = number * source.share, (number + 1) * source.share
    runs = []
    for turn in range(begin // source.samples, -(-end // source.samples)):
        window = _source_order(plan, s, turn)
        length = plan.window_length[window]
        ends = np.cumsum(length) + turn * source.samples
        # Cut to the part of the source's own stream that belongs to the pass.
        skipped = np.clip(begin - (ends - length), 0, length)
        kept = length - skipped - np.clip(ends - min(end, (turn + 1) * source.samples), 0, length)
        some = kept > 0
        first = plan.window_start[window] + skipped
        runs.append((window[some], first[some], kept[some]))
    window, first, length = (np.concatenate(columns) for columns in zip(*runs, strict=True))
    return window, first, length


def _source_order(plan: OrderPlan, s: int, turn: int) -> np.ndarray:
    """The windows of one pass over source `s` alone, at least as many as hold its samples."""
    source = plan.sources[s]
    rng = generator_for(plan.seed, SOURCE_KEY, turn, s)
    windows = np.arange(source.windows.start, source.windows.stop)
    if not plan.replacement:
        return rng.permutation(windows)
    ends = np.cumsum(plan.window_length[windows])
    drawn = np.empty(0, np.int64)
    while plan.window_length[drawn].sum() < source.samples:
        places = rng.integers(source.samples, size=len(windows))
        drawn = np.concatenate([drawn, windows[np.searchsorted(ends, places, "right")]])
    return drawn


@lru_cache(maxsize=16)
def _round_orders(seed: int, number: int, lanes: range, window: int) -> np.ndarray:
    """How each of the lanes shuffles its piece of a round; a batch may take a small part of it."""
    orders = (generator_for(seed, ROUND_KEY, number, lane).permutation(window) for lane in lanes)
    return np.stack(list(orders))


def _windows(index: SampleIndex, window: int) -> tuple[np.ndarray, np.ndarray]:
    """First sample and length of each run of at most `window` samples."""
    changes = np.flatnonzero(np.diff(index.repetition)) + 1
    # Two sources may be the same dataset.
    begins = np.unique(np.concatenate([[0], changes, index.source_ends[:-1]]))
    ends = np.concatenate([begins[1:], [len(index)]])
    counts = -(-(ends - begins) // window)
    first = np.repeat(begins, counts)
    turn = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    start = first + turn * window
    return start, np.minimum(window, np.repeat(ends, counts) - start)
