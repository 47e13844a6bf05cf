"""Tells the reader which windows its lanes come to next, and which they have left.

A round (order.py) is read from a few windows per lane. When a batch begins, the windows of its
rounds and of one round more are expected, and those of rounds before it are released. To the reader
a window that goes on in the next shard is two.
"""

import itertools
from collections import Counter, deque

import numpy as np

from diagonal_train.streaming.index import SampleIndex
from diagonal_train.streaming.order import OrderPlan, positions_of_rounds, samples_at
from diagonal_train.streaming.reader import ShardReader, Window


class ReadAhead:
    """The windows that `lanes` read now and soon."""

    def __init__(
        self, reader: ShardReader, index: SampleIndex, plan: OrderPlan, lanes: range
    ) -> None:
        self._reader = reader
        self._index = index
        self._plan = plan
        self._lanes = lanes
        self._next_round: int | None = None
        self._groups: deque[tuple[int, list[int]]] = deque()
        """Last round of some that were expected together, and their windows."""
        self._uses: Counter[int] = Counter()
        self._spans: dict[int, dict[int, Window]] = {}
        """By window and shard."""

    def advance(self, batch_index: int) -> None:
        """Make ready for a batch; batches come in order."""
        share, window = self._plan.lane_share, self._plan.window
        first = batch_index * share // window
        last = ((batch_index + 1) * share - 1) // window
        ahead = max(last + 1, ((batch_index + 2) * share - 1) // window)
        begin = first if self._next_round is None else self._next_round
        if begin <= ahead:
            self._expect(range(begin, ahead + 1))
            self._next_round = ahead + 1
        while self._groups and self._groups[0][0] < first:
            self._release(self._groups.popleft()[1])

    def span(self, window: int, shard: int) -> Window:
        """What lies in a shard of a window of the batch in hand."""
        return self._spans[window][shard]

    def _expect(self, rounds: range) -> None:
        positions = positions_of_rounds(self._plan, rounds, self._lanes)
        windows = np.unique(samples_at(self._plan, positions)[1]).tolist()
        for window in windows:
            self._uses[window] += 1
            if self._uses[window] == 1:
                self._spans[window] = self._expect_window(window)
        self._groups.append((rounds[-1], windows))

    def _expect_window(self, window: int) -> dict[int, Window]:
        start = int(self._plan.window_start[window])
        end = start + int(self._plan.window_length[window])
        edges = np.flatnonzero(np.diff(self._index.shard[start:end])) + start + 1
        parts = itertools.pairwise([start, *edges.tolist(), end])
        return {
            int(self._index.shard[first]): self._expect_part(first, last) for first, last in parts
        }

    def _expect_part(self, start: int, end: int) -> Window:
        offsets, lengths = self._index.offset[start:end], self._index.length[start:end]
        span = Window(
            shard=int(self._index.shard[start]),
            begin=int(offsets[0]),
            end=int(offsets[-1] + lengths[-1]),
        )
        self._reader.expect(span, offsets, lengths)
        return span

    def _release(self, windows: list[int]) -> None:
        for window in windows:
            self._uses[window] -= 1
            if not self._uses[window]:
                del self._uses[window]
                for span in self._spans.pop(window).values():
                    self._reader.release(span)
