"""Workers that fetch, in steps of time: where their slots wait.

A worker has `in_flight` slots and works on a few units at once. One step of time is

    lost workers leave, new ones come → units are handed out → URLs start as slots and hosts allow
    → answers come after their latency → bodies pass the shared link → pictures are decoded

Hosts: the heaviest have their share of the URLs and a rate that holds over all workers, the rest is
unlimited: hosts behind the heaviest of a kind are asked less often and cannot be the limit. A
worker begins whatever host has room, so URLs of a slow host pile up in its units and hold them. A
slot is free again once the body is there; fetching pauses while too many bodies await decoding.

Blind spots: DNS, robots.txt, the head node and the object store never limit; a lost unit's place is
taken by one drawn anew; a host's requests in flight are counted by their mean latency.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diagonal_infra.planner.bounds import bounds
from diagonal_infra.planner.config import ClusterModel, Pictures
from diagonal_infra.planner.outcome import Simulated

Counts = NDArray[np.int64]


def simulate(
    cluster: ClusterModel, pictures: Pictures, workers: int, *, units: int | None = None
) -> Simulated:
    """Run so many workers that start together; figures are of the second half of the time.

    Args:
        cluster: what a worker, the hosts and the network do.
        pictures: what is fetched.
        workers: how many.
        units: units in all, which end the run; endless when None.
    """
    run = _Run(cluster, pictures, workers, units)
    steps = math.ceil(cluster.seconds / cluster.step_seconds)
    answers = np.zeros(steps, np.int64)
    for step in range(steps):
        if step == steps // 2:
            run.tally = _Tally()
        answers[step] = run.advance(step)
        if units is not None and run.is_done():
            answers = answers[: step + 1]
            break
    return run.result(answers)


@dataclass
class _Tally:
    """Sums over the steps that count."""

    steps: int = 0
    done: int = 0
    lost: int = 0
    pictures: int = 0
    cpu_seconds: float = 0.0
    present: int = 0
    link: float = 0.0
    idle_for_hosts: int = 0
    idle_at_ends: int = 0
    waiting_for_answer: int = 0


class _Run:
    """The state between two steps; W workers, U units at once, H heavy hosts and the rest."""

    def __init__(
        self, cluster: ClusterModel, pictures: Pictures, workers: int, units: int | None
    ) -> None:
        self.cluster, self.pictures = cluster, pictures
        self.workers, self.units = workers, units
        self.step_seconds = cluster.step_seconds
        self.tally = _Tally()
        self._dice = np.random.default_rng(cluster.seed)
        heavy = [share for share, _ in cluster.heavy_hosts]
        self._shares = np.array([*heavy, 1.0 - sum(heavy)])
        self._host_rates = np.array([rate for _, rate in cluster.heavy_hosts])
        self._tokens = np.ones(len(self._host_rates))
        places = (workers, cluster.units_at_once)
        self._left = np.zeros((*places, len(self._shares)), np.int64)
        """URLs not begun, by host."""
        self._left_total, self._size = np.zeros(places, np.int64), np.zeros(places, np.int64)
        self._flying = np.zeros(places, np.int64)
        self._active = np.zeros(places, bool)
        self._ring_steps = math.ceil(cluster.longest_seconds / self.step_seconds) + 2
        self._pictures_at = np.zeros((self._ring_steps, *places), np.int64)
        self._failures_at = np.zeros((self._ring_steps, *places), np.int64)
        self._on_link = np.zeros(places, np.int64)
        self._backlog = np.zeros(workers, np.int64)
        self._away_until = np.zeros(workers)

    def advance(self, step: int) -> int:
        """One step; pictures that arrived in it."""
        self.tally.steps += 1
        now = step * self.step_seconds
        self._lose_workers(now)
        present = self._away_until <= now
        # An endless run begins in its midst: else units that wait for slow hosts had to pile up.
        self._hand_out(present, midway=step == 0 and self.units is None)
        self._start(step, present)
        arrived = self._arrive(step)
        self._decode()
        self.tally.present += int(present.sum())
        self.tally.waiting_for_answer += int((self._flying - self._on_link).sum())
        return arrived

    def is_done(self) -> bool:
        """Whether no unit is left."""
        return self.units == 0 and not self._active.any()

    def _lose_workers(self, now: float) -> None:
        rate = self.cluster.preemptions_per_hour / 3600 * self.step_seconds
        lost = (self._dice.random(self.workers) < rate) & (self._away_until <= now)
        if not lost.any():
            return
        begun = self._size[lost] - self._left_total[lost] - self._flying[lost]
        self.tally.lost += int(begun[self._active[lost]].sum())
        if self.units is not None:
            self.units += int(self._active[lost].sum())
        for state in (self._left, self._left_total, self._flying, self._on_link, self._active):
            state[lost] = 0
        self._backlog[lost] = 0
        self._pictures_at[:, lost] = 0
        self._failures_at[:, lost] = 0
        self._away_until[lost] = now + self.cluster.replacement_seconds

    def _hand_out(self, present: NDArray[np.bool_], *, midway: bool) -> None:
        finished = self._active & (self._flying == 0) & (self._left_total == 0)
        self._active[finished] = False
        # Every worker gets a first unit before any gets a second.
        for place in range(self.cluster.units_at_once):
            free = np.flatnonzero(~self._active[:, place] & present)
            if self.units is not None:
                free = free[: self.units]
                self.units -= len(free)
            if len(free):
                drawn = self._dice.multinomial(
                    self.cluster.unit_candidates, self._shares, size=len(free)
                )
                self._left[free, place] = self._at_any_age(drawn) if midway else drawn
                self._left_total[free, place] = self._left[free, place].sum(axis=1)
                self._size[free, place] = self._left_total[free, place]
                self._active[free, place] = True

    def _at_any_age(self, drawn: Counts) -> Counts:
        """What is left of units that have been worked on for a while, each another.

        What is slowest ends with the unit: a host, or whatever limits the rest.
        """
        allowed = bounds(self.cluster, self.pictures, self.workers)
        others = min(rate for name, rate in allowed.items() if name != "hosts")
        haste = np.append(self._host_rates / self._shares[:-1], others)
        age = self._dice.random((len(drawn), 1)) * haste / haste.min()
        return self._rounded(drawn * np.maximum(1 - age, 0.0))

    def _start(self, step: int, present: NDArray[np.bool_]) -> None:
        """Begin URLs: of heavy hosts as far as their rates allow, then of the rest."""
        slots = np.where(present, self.cluster.in_flight - self._flying.sum(axis=1), 0)
        free = np.where(self._backlog < self.cluster.backlog, slots, 0)
        heavy = self._granted(free)
        free -= heavy.sum(axis=1)
        places = self.cluster.units_at_once
        for place in ((step + turn) % places for turn in range(places)):
            left = self._left[:, place]
            begun = np.minimum(heavy, left[:, :-1])
            heavy -= begun
            rest = np.minimum(free, left[:, -1])
            free -= rest
            left[:, :-1] -= begun
            left[:, -1] -= rest
            total = begun.sum(axis=1) + rest
            self._left_total[:, place] -= total
            self._launch(step, place, total)
        waits = self._left_total.sum(axis=1) > 0
        self.tally.idle_for_hosts += int(free[waits].sum())
        self.tally.idle_at_ends += int(free[~waits].sum())

    def _granted(self, free: Counts) -> Counts:
        """Requests to each heavy host by each worker, within the hosts' rates and the slots."""
        gained = self._host_rates * self.step_seconds
        self._tokens = np.minimum(self._tokens + gained, 1.0 + 2 * gained)
        wanted = np.where(free[:, None] > 0, self._left[:, :, :-1].sum(axis=1), 0)
        # Workers that ask get equal parts, as the ledger of host slots lends them.
        part = np.clip(self._tokens, 0.0, None) / np.maximum((wanted > 0).sum(axis=0), 1)
        granted = np.minimum(wanted, self._rounded(np.broadcast_to(part, wanted.shape)))
        # No more than there are slots, the heaviest hosts first.
        granted = np.diff(np.minimum(granted.cumsum(axis=1), free[:, None]), axis=1, prepend=0)
        self._tokens -= granted.sum(axis=0)
        return granted

    def _launch(self, step: int, place: int, begun: Counts) -> None:
        """Decide for every URL that begins when it is answered, and whether with a picture."""
        owner = np.repeat(np.arange(self.workers), begun)
        cluster = self.cluster
        seconds = self._dice.lognormal(
            math.log(cluster.latency_seconds), cluster.latency_sigma, len(owner)
        )
        fate = self._dice.random(len(owner))
        hangs = fate < cluster.hang_share
        seconds[hangs] = cluster.hang_seconds
        steps = self._rounded(np.minimum(seconds, cluster.longest_seconds) / self.step_seconds)
        at = (step + np.maximum(steps, 1)) % self._ring_steps
        fails = fate < max(cluster.hang_share, 1 - self.pictures.success_share)
        # Where (step, worker, place) lies in the flat ring.
        flat = (at * self.workers + owner) * cluster.units_at_once + place
        np.add.at(self._failures_at.reshape(-1), flat[fails], 1)
        np.add.at(self._pictures_at.reshape(-1), flat[~fails], 1)
        self._flying[:, place] += begun

    def _arrive(self, step: int) -> int:
        """Answers of this step, as far as the link has room; the others stay in their slots."""
        at = (step + 1) % self._ring_steps
        failed, pictures = self._failures_at[at], self._pictures_at[at]
        self._flying -= failed
        self._on_link += pictures
        self.tally.done += int(failed.sum())
        failed[:] = pictures[:] = 0
        room = self.pictures.link_rate(self.cluster.uplink_gigabits) * self.step_seconds
        share = min(1.0, room / max(1, int(self._on_link.sum())))
        passed = np.minimum(self._on_link, self._rounded(self._on_link * share))
        self._on_link -= passed
        self._flying -= passed
        self._backlog += passed.sum(axis=1)
        arrived = int(passed.sum())
        self.tally.done += arrived
        self.tally.link += arrived / room
        return arrived

    def _decode(self) -> None:
        most = np.full(self.workers, self.step_seconds / self.pictures.cpu_seconds)
        done = np.minimum(self._backlog, self._rounded(most))
        self._backlog -= done
        self.tally.pictures += int(done.sum())
        self.tally.cpu_seconds += float(done.sum()) * self.pictures.cpu_seconds

    def _rounded(self, amounts: NDArray[Any]) -> Counts:
        """Whole numbers whose mean is the amount."""
        return np.floor(amounts + self._dice.random(amounts.shape)).astype(np.int64)

    def result(self, answers: Counts) -> Simulated:
        """The figures of the steps that count."""
        tally = self.tally
        seconds = tally.steps * self.step_seconds
        slots = max(1, tally.present * self.cluster.in_flight)
        return Simulated(
            workers=self.workers,
            candidates_per_second=max(0, tally.done - tally.lost) / seconds,
            pictures_per_second=tally.pictures / seconds,
            cpu_share=tally.cpu_seconds / max(1e-9, tally.present * self.step_seconds),
            bandwidth_share=tally.link / tally.steps,
            hosts_share=tally.idle_for_hosts / slots,
            ends_share=tally.idle_at_ends / slots,
            latency_share=tally.waiting_for_answer / slots,
            lost_share=tally.lost / max(1, tally.done),
            answers=answers,
            step_seconds=self.step_seconds,
        )
