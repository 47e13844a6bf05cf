"""What the running command has done so far: its stages tell it, the metrics server asks.

There is one per process, as there is one log, so that what works deep inside a stage need not be
handed it. What Ray workers do is told by the driver, from their summaries.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from rich.progress import Progress

Try = Literal["finished", "failed", "overdue", "lost"]
"""How one try of a unit ends; lost: its worker crashed, did not start, or its node is gone."""
RECENT = 1_000
"""Finished units whose median time is told."""
PART = "part"
"""Field of a bar's task: its first description; what is said later tells of speed and losses."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One bar's work, or that of several of the same name one after the other."""

    units: float = 0.0
    done: float = 0.0

    def __add__(self, other: "Part") -> "Part":
        return Part(units=self.units + other.units, done=self.done + other.done)


@dataclass(kw_only=True)
class Tally:
    """Counts of one command."""

    items: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Things by kind and outcome: ("pages", "read")."""
    tries: Counter[Try] = field(default_factory=Counter)
    given_up_units: int = 0
    model_seconds: float = 0.0
    """Of all workers, in which a model worked or waited for its data."""
    wait_seconds: float = 0.0
    """Of these, waiting."""
    _bars: set[Progress] = field(default_factory=set)
    _ended: dict[str, Part] = field(default_factory=dict)
    """What bars said that are no longer there."""
    _turn: threading.Lock = field(default_factory=threading.Lock)
    """So that none is seen twice, or not at all, as it ends."""
    _running: dict[int, float] = field(default_factory=dict)
    _recent_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    def add_items(self, kind: str, outcomes: Mapping[str, int]) -> None:
        """Count what became of things."""
        self.items.update({(kind, outcome): count for outcome, count in outcomes.items()})

    def add_model_seconds(self, seconds: float, waited_seconds: float) -> None:
        """A model was busy for so long, a part of it waiting for data."""
        self.model_seconds += seconds
        self.wait_seconds += waited_seconds

    def begin(self, unit: object) -> None:
        """A try of a unit begins; the object must live until its end."""
        self._running[id(unit)] = time.monotonic()

    def end(self, unit: object, outcome: Try) -> None:
        """A try is over; it may have ended before it began."""
        since = self._running.pop(id(unit), None)
        self.tries[outcome] += 1
        if outcome == "finished" and since is not None:
            self._recent_seconds.append(time.monotonic() - since)

    def longest_unit_seconds(self) -> float:
        """How long the oldest of the units under way runs; 0 if there is none."""
        now = time.monotonic()
        return now - min(self._running.copy().values(), default=now)

    def median_unit_seconds(self) -> float:
        """Of the units that finished lately; 0 if there is none."""
        return median(self._recent_seconds.copy() or [0.0])

    def begin_bar(self, bar: Progress) -> None:
        """What it says counts from now on."""
        with self._turn:
            self._bars.add(bar)

    def end_bar(self, bar: Progress) -> None:
        """What it said stays."""
        with self._turn:
            if bar in self._bars:
                self._bars.remove(bar)
                _add_bar(self._ended, bar)

    def parts(self) -> dict[str, Part]:
        """How far each part is, by its name."""
        with self._turn:
            parts = self._ended.copy()
            for bar in self._bars:
                _add_bar(parts, bar)
        return parts


def _add_bar(parts: dict[str, Part], bar: Progress) -> None:
    for task in bar.tasks:
        name = task.fields[PART]
        units = task.completed if task.total is None else task.total
        parts[name] = parts.get(name, Part()) + Part(units=units, done=task.completed)


_now = Tally()


def now() -> Tally:
    """The running command's."""
    return _now


def begin_anew() -> Tally:
    """From now on another command's."""
    global _now
    _now = Tally()
    return _now
