"""Samples that meet an SQL condition, page by page.

Unsorted, a search goes as far as the page asked for and remembers where it stopped; sorted, or when
the number is asked for, it goes through all shards. In both cases until the deadline.
"""

import threading
from dataclasses import dataclass, field

import numpy as np

from diagonal_data.filters.match import Condition, Deadline, Matches
from diagonal_eval.explore.snapshot import Snapshot

MOST_KEPT = 1_000_000
"""Matches that can be paged through; further ones are counted."""
MOST_SORTED = 100_000
"""The same where they are sorted."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some of the matches."""

    places: list[int]
    values: list[float]
    """Of the column sorted by, if there is one."""
    matches: int
    """Counted so far."""
    shards_done: int
    is_complete: bool
    """All shards were looked at."""


@dataclass(kw_only=True)
class Selection:
    """The matches of one condition, as far as they are known."""

    condition: Condition
    descending: bool = True
    matches: int = 0
    shards_done: int = 0
    _places: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64), init=False)
    _values: np.ndarray = field(default_factory=lambda: np.empty(0), init=False)
    """In the order of the pages, NaN last; the first `MOST_KEPT` or, sorted, `MOST_SORTED`."""
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def page(
        self, snapshot: Snapshot, start: int, count: int, deadline: Deadline, *, whole: bool = False
    ) -> Page:
        """Matches from `start` on; `whole` counts all of them.

        Raises:
            UserError: the condition cannot be computed, or not in time.
        """
        with self._lock:
            self._go_on(snapshot, start + count, deadline, whole or bool(self.condition.sort))
            return Page(
                places=self._places[start : start + count].tolist(),
                values=self._values[start : start + count].tolist(),
                matches=self.matches,
                shards_done=self.shards_done,
                is_complete=self.shards_done == len(snapshot.names),
            )

    def _go_on(self, snapshot: Snapshot, wanted: int, deadline: Deadline, whole: bool) -> None:
        if self.matches >= wanted and not whole:
            return
        names = snapshot.names[self.shards_done :]
        for found in self.condition.search(names, snapshot.starts, deadline):
            self._add(found)
            self.matches += len(found.places)
            self.shards_done += len(found.shards)
            if self.matches >= wanted and not whole:
                return

    def _add(self, found: Matches) -> None:
        places = np.concatenate([self._places, found.places])
        if not self.condition.sort:
            self._places = places[:MOST_KEPT]
            return
        values = np.concatenate([self._values, found.values])
        # Stable: of equals the first in the dataset.
        order = np.argsort(-values if self.descending else values, kind="stable")[:MOST_SORTED]
        self._places, self._values = places[order], values[order]
