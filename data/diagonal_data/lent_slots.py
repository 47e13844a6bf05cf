"""The slots of one host: who holds some, who waits for some, and who gets the next.

With others waiting, every worker may hold up to the same number of slots, the level, or what it can
use if that is less. What then remains goes one each to those that wait longest, and on to others
after a second. So no slot lies idle while somebody wants it, but for the time between two messages.
"""

import heapq
from dataclasses import dataclass, field

TURN_SECONDS = 1.0
"""How long a worker keeps a slot above the level that others wait for."""


@dataclass(slots=True)
class LentSlots:
    """Slots, numbered by nobody: `free` and `held` together are `most`."""

    most: int
    interval_seconds: float
    free: list[float]
    """When each slot that nobody holds may be used: a heap."""
    held: dict[str, int] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)
    """When each holder was last lent one."""
    waiting: dict[str, int] = field(default_factory=dict)
    """Slots wanted by worker, the longest waiting first."""

    def is_new(self, now: float) -> bool:
        """Whether it could be made anew: nobody holds or wants any, all may be used."""
        return not self.held and not self.waiting and max(self.free) <= now

    def take_back(self, wait: float, now: float) -> None:
        """A slot returned by its holder, to be used after `wait` seconds."""
        heapq.heappush(self.free, now + wait)

    def settle(self, worker: str, held: int, now: float) -> None:
        """Believe what the worker says it holds, and make the free slots agree."""
        if held:
            self.held[worker] = held
            self.since.setdefault(worker, now)
        else:
            self.held.pop(worker, None)
            self.since.pop(worker, None)
        free = self.most - sum(self.held.values())
        while len(self.free) > max(0, free):
            heapq.heappop(self.free)
        while len(self.free) < free:
            heapq.heappush(self.free, now + self.interval_seconds)

    def lend(self, worker: str, now: float) -> list[float]:
        """Slots for a worker that waits: seconds until each may be used."""
        if not self.free:
            return []
        count = self.waiting[worker]
        due = self._due(worker, count) if len(self.waiting) > 1 else count
        taken = min(due, len(self.free))
        if taken:
            self.held[worker] = self.held.get(worker, 0) + taken
            self.since[worker] = now
            del self.waiting[worker]
            if count > taken:
                self.waiting[worker] = count - taken
        return [max(0.0, heapq.heappop(self.free) - now) for _ in range(taken)]

    def recall(self, worker: str, now: float) -> int:
        """How many of its slots the worker should give back for those that wait."""
        if not self.waiting.keys() - {worker}:
            return 0
        level = self._level()
        needs = extras = 0
        for other, count in self.waiting.items():
            if other != worker:
                need, extra = self._lacks(other, count, level)
                needs, extras = needs + need, extras + extra
        unmet = needs + extras - len(self.free)
        if unmet <= 0:
            return 0
        above = self.held.get(worker, 0) - level
        over = above if needs > len(self.free) else above - 1
        if over > 0:
            return min(over, unmet)
        return int(above > 0 and now - self.since.get(worker, now) > TURN_SECONDS)

    def _due(self, worker: str, count: int) -> int:
        """What the free slots hold for the worker: first everybody gets up to the level, in line.

        Nothing is set aside for those in line that have their share.
        """
        level = self._level()
        mine, more = self._lacks(worker, count, level)
        free = len(self.free)
        extras = 0
        line = iter(self.waiting.items())
        for other, wanted in line:
            if other == worker:
                break
            need, extra = self._lacks(other, wanted, level)
            free, extras = free - need, extras + extra
            if free <= (0 if mine else extras):
                return 0
        if free < mine or not more:
            return min(mine, free)
        behind = sum(self._lacks(other, wanted, level)[0] for other, wanted in line)
        return mine + (free - mine - extras - behind > 0)

    def _lacks(self, worker: str, wanted: int, level: int) -> tuple[int, int]:
        """What the worker lacks to the level, and whether it could use one slot above it."""
        to_level = level - self.held.get(worker, 0)
        return max(0, min(wanted, to_level)), int(0 <= to_level < wanted)

    def _level(self) -> int:
        """The most that everybody can have who can use so many."""
        if len(self.waiting) > self.most:
            return 0
        demands = dict(self.held)
        for worker, count in self.waiting.items():
            demands[worker] = demands.get(worker, 0) + count
        left = self.most
        for rank, demand in enumerate(sorted(demands.values())):
            level = left // (len(demands) - rank)
            if demand > level:
                return level
            left -= demand
        return self.most
