"""Units on Ray workers: some at a time in each, and tried again when they fail or are lost.

    waiting → a worker that is up and has room → result
       ↑______ failed, overdue, or its worker is gone, fewer than ATTEMPTS times

A worker is an actor with a CPU to itself, and GPUs where they are asked for. Ray cannot break off
one call of an actor, so an overdue unit costs its worker, as a crash does, and the units beside it
are tried again as well. A unit that is tried again has its worker to itself: else one that always
crashes could take the same neighbour with it each time.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from diagonal_infra import tally

Item = TypeVar("Item")
Result = TypeVar("Result")
logger = logging.getLogger(__name__)

ATTEMPTS = 3
POLL_SECONDS = 1.0


class _Runner(Generic[Item, Result]):
    """The actor; Ray calls `run` in as many threads as units may run at once."""

    def __init__(self, function: Callable[[Item], Result]) -> None:
        self._function = function

    def run(self, item: Item) -> Result:
        return self._function(item)


@dataclass
class _Try:
    """A unit: how many times it has been tried with this one, and since when it runs."""

    item: Any
    attempt: int
    since: float = 0.0


@dataclass(eq=False)
class _Worker:
    actor: Any
    is_up: bool = False
    units: list[_Try] = field(default_factory=list)

    def has_room(self, unit: _Try, units_at_once: int) -> bool:
        alone = any(each.attempt > 1 for each in (unit, *self.units))
        return self.is_up and len(self.units) < (1 if alone else units_at_once)


class Workers(Generic[Item, Result]):
    """`count` workers at most, each with up to `units_at_once` units."""

    def __init__(
        self,
        function: Callable[[Item], Result],
        *,
        count: int,
        units_at_once: int,
        deadline_seconds: float,
        gpus: float = 0.0,
    ) -> None:
        """Start nothing yet; a unit that runs longer than the deadline is tried again."""
        self._function = function
        self._count = count
        self._units_at_once = units_at_once
        self._deadline_seconds = deadline_seconds
        # Ray itself tries nothing again: what crashes workers is run `ATTEMPTS` times in all.
        options: dict[str, Any] = {"num_cpus": 1, "num_gpus": gpus, "max_restarts": 0}
        options |= {"max_concurrency": units_at_once, "scheduling_strategy": "SPREAD"}
        self._remote: Any = ray.remote(**options)(_Runner)
        self._workers: list[_Worker] = []
        self._starting: dict[Any, _Worker] = {}
        self._running: dict[Any, tuple[_Worker, _Try]] = {}
        """By what Ray answers to the call."""
        self._waiting: deque[_Try] = deque()
        self._failed: list[Item] = []

    def run(self, items: Sequence[Item], failed: list[Item]) -> Iterator[tuple[Item, Result]]:
        """Yield (item, result) as they finish; items that failed for good go to `failed`."""
        self._waiting = deque(_Try(item, 1) for item in items)
        self._failed = failed
        while self._waiting or self._running:
            self._hire()
            self._hand_out()
            calls = [*self._starting, *self._running]
            done: list[Any] = ray.wait(calls, timeout=POLL_SECONDS)[0]
            for call in done:
                if call in self._starting:
                    self._take_on(call)
                else:
                    yield from self._results(call)
            self._give_up_overdue()

    def _hire(self) -> None:
        busy = sum(bool(worker.units) for worker in self._workers)
        while len(self._workers) < min(self._count, len(self._waiting) + busy):
            worker = _Worker(self._remote.remote(self._function))
            self._workers.append(worker)
            self._starting[worker.actor.__ray_ready__.remote()] = worker

    def _hand_out(self) -> None:
        while self._waiting and (worker := self._place_for(self._waiting[0])):
            unit = self._waiting.popleft()
            # It has a thread to itself, so it starts at once: waiting for a CPU was the worker's.
            unit.since = time.monotonic()
            tally.now().begin(unit)
            worker.units.append(unit)
            self._running[worker.actor.run.remote(unit.item)] = worker, unit

    def _place_for(self, unit: _Try) -> _Worker | None:
        """The worker with the fewest units, if that are less than its share of what is left."""
        free = [worker for worker in self._workers if worker.has_room(unit, self._units_at_once)]
        worker = min(free, key=lambda each: len(each.units), default=None)
        # Else the worker that is up first would take what the others are started for.
        share = math.ceil((len(self._waiting) + len(self._running)) / max(1, len(self._workers)))
        return None if worker is None or len(worker.units) >= share else worker

    def _take_on(self, call: Any) -> None:
        worker = self._starting.pop(call)
        try:
            ray.get(call)
        except RayError:
            logger.exception("worker did not start")
            self._drop(worker)
            # It counts as the next unit's failure, so that no run tries for ever.
            if self._waiting:
                self._try_again(self._waiting.popleft(), "lost")
        else:
            worker.is_up = True

    def _results(self, call: Any) -> Iterator[tuple[Item, Result]]:
        worker, unit = self._leave(call)
        try:
            result: Any = ray.get(call)
        except Exception as error:
            which = unit.item, unit.attempt
            # A unit may itself meet the death of an actor, which then is another's.
            is_lost = isinstance(error, RayActorError) and not isinstance(error, RayTaskError)
            if is_lost:
                # Its message has the node and the cause; where we waited tells nothing.
                logger.error("worker lost item=%s attempt=%d: %s", *which, error)
                self._drop(worker)
            else:
                logger.exception("unit failed item=%s attempt=%d", *which)
            self._try_again(unit, "lost" if is_lost else "failed")
        else:
            tally.now().end(unit, "finished")
            yield unit.item, result

    def _give_up_overdue(self) -> None:
        latest = time.monotonic() - self._deadline_seconds
        for call in [call for call, (_, unit) in self._running.items() if unit.since < latest]:
            worker, unit = self._leave(call)
            logger.error("unit overdue item=%s seconds=%.0f", unit.item, self._deadline_seconds)
            self._drop(worker)
            self._try_again(unit, "overdue")

    def _leave(self, call: Any) -> tuple[_Worker, _Try]:
        worker, unit = self._running.pop(call)
        worker.units.remove(unit)
        return worker, unit

    def _drop(self, worker: _Worker) -> None:
        """End the worker, if it has not ended; the calls of its other units will say so."""
        if worker in self._workers:
            self._workers.remove(worker)
            ray.kill(worker.actor)

    def _try_again(self, unit: _Try, outcome: tally.Try) -> None:
        tally.now().end(unit, outcome)
        if unit.attempt < ATTEMPTS:
            self._waiting.append(_Try(unit.item, unit.attempt + 1))
        else:
            self._failed.append(unit.item)
            tally.now().given_up_units += 1
