"""Samples that meet an SQL condition, page by page.

Unsorted, a search goes as far as the page asked for and remembers where it stopped; sorted, or when
the number is asked for, it goes through all shards. In both cases until the deadline.
"""

import threading
from dataclasses import dataclass, field

import numpy as np

from diagonal_data.filters.match import Condition, Deadline
from diagonal_eval.explore.snapshot import Snapshot

MOST_KEPT = 1_000_000
"""Matches that can be paged through; further ones are counted."""


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
    _places: list[np.ndarray] = field(default_factory=list, init=False)
    _values: list[np.ndarray] = field(default_factory=list, init=False)
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
            places = _joined(self._places, np.int64)
            values = _joined(self._values, np.float64)
            if self.condition.sort:
                order = np.argsort(-values if self.descending else values, kind="stable")
                places, values = places[order], values[order]
            return Page(
                places=places[start : start + count].tolist(),
                values=values[start : start + count].tolist(),
                matches=self.matches,
                shards_done=self.shards_done,
                is_complete=self.shards_done == len(snapshot.names),
            )

    def _go_on(self, snapshot: Snapshot, wanted: int, deadline: Deadline, whole: bool) -> None:
        if self.matches >= wanted and not whole:
            return
        names = snapshot.names[self.shards_done :]
        for found in self.condition.search(names, snapshot.starts, deadline):
            room = max(0, MOST_KEPT - sum(map(len, self._places)))
            self._places.append(found.places[:room])
            self._values.append(found.values[:room])
            self.matches += len(found.places)
            self.shards_done += len(found.shards)
            if self.matches >= wanted and not whole:
                return


def _joined(parts: list[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(0, dtype)
