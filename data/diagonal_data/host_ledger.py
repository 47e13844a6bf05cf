"""Who may ask which host: slots of hosts, lent to the workers of a run.

A host has `max_per_host` slots, and a slot may begin a request every `max_per_host /
max_per_second` seconds. A worker borrows slots, uses them for one request after the other, and
gives them back; each slot is with one worker at most. So both limits hold over the whole cluster
whatever the number of workers, and a request costs no message: workers write in batches, some times
a second (host_slots.py). The ledger also hears what became of requests, and closes a host that
fails all the time, that asked for a pause, or that opted out too often.

A worker's word on what it holds is taken over what the ledger believes, and a worker that is silent
for `SILENCE_SECONDS` and the longest request holds nothing. So lost messages and killed workers
mend themselves. A ledger that was started anew only listens for a while, and learns from the
messages what is held, before it lends. A host of which there is nothing to remember is forgotten.
"""

import ipaddress
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from diagonal_data.fetch_config import FetchConfig
from diagonal_data.lent_slots import LentSlots
from diagonal_data.schema import Reason

UNAVAILABLE_SECONDS = 60.0
"""How long a failing host is left alone."""
SILENCE_SECONDS = 20.0
"""After that long without a message, and the longest request, a worker's slots are free again."""
SETTLE_SECONDS = 15.0
"""How long a restarted ledger only listens. Every live worker writes in that time: at worst it has
waited 10 s in vain for an answer of the ledger before (host_slots.STALE_SECONDS), and then 2 s."""
FORGET_SECONDS = 60.0
"""Between two looks for hosts to forget."""
SECONDS_PER_WORKER = 0.001
"""Between a worker's messages, for each worker of the run: a thousand messages a second in all."""
LEAST_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class HostLimits:
    """What one host stands, over all workers."""

    slots: int
    interval_seconds: float
    """Between two requests of one slot."""


@dataclass(frozen=True, kw_only=True)
class HostNews:
    """What a worker's requests to one host came to since its last message."""

    successes: int = 0
    failures: int = 0
    opt_outs: int = 0
    pause_seconds: float = 0.0
    """What Retry-After asked for."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A worker's message; hosts by name."""

    worker: str
    held: Mapping[str, int] = field(default_factory=dict)
    """Slots it goes on holding."""
    wanted: Mapping[str, int] = field(default_factory=dict)
    """Further slots it could use now."""
    returned: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Slots given back: seconds until each may be used again."""
    news: Mapping[str, HostNews] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Closed:
    """Why a host is not asked, and for how long."""

    reason: Reason
    detail: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The ledger's reply."""

    granted: Mapping[str, Sequence[float]]
    """New slots: seconds until each may be used."""
    recalled: Mapping[str, int]
    """How many of its slots the worker should give back when their requests are done."""
    closed: Mapping[str, Closed]
    paused: Mapping[str, float]
    """Seconds for which no request may begin."""
    again_seconds: float
    """When to write next, at the earliest."""


@dataclass(slots=True)
class _Host:
    slots: LentSlots
    failures_in_a_row: int = 0
    opt_outs: int = 0
    closed_until: float = 0.0
    paused_until: float = 0.0

    def is_new(self, now: float) -> bool:
        """Whether it is like one never heard of."""
        troubled = self.failures_in_a_row or self.opt_outs
        barred = max(self.closed_until, self.paused_until) > now
        return not troubled and not barred and self.slots.is_new(now)


def limits_of(host: str, config: FetchConfig) -> HostLimits:
    """The host's limits: loopback is the user's own and has no rate; fast hosts stand more."""
    fast = any(_matches(host, entry) for entry in config.fast_hosts)
    slots = config.fast_max_per_host if fast else config.max_per_host
    rate = config.fast_max_per_second if fast else config.max_per_second
    unlimited = rate == 0 or is_loopback(host)
    return HostLimits(slots=slots, interval_seconds=0.0 if unlimited else slots / rate)


def is_loopback(host: str) -> bool:
    """Whether the host is written as a loopback address, or is `localhost`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _matches(host: str, entry: str) -> bool:
    entry = entry.lower()
    return host.endswith(entry[1:]) if entry.startswith("*.") else host == entry


class HostLedger:
    """The slots of all hosts of a run; `ask` is its only door."""

    def __init__(
        self,
        config: FetchConfig,
        opt_outs: Mapping[str, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with every slot free.

        Args:
            config: limits.
            opt_outs: opt-outs met in earlier runs, by host.
            clock: seconds; tests bring their own.
        """
        self._config = config
        self._clock = clock
        self._hosts: dict[str, _Host] = {}
        self._seen: dict[str, float] = {}
        self._waits: dict[str, set[str]] = {}
        """Hosts for which a worker stands in line."""
        self._holds: dict[str, set[str]] = {}
        """Hosts of which a worker should hold slots."""
        self._swept = self._forgot = clock()
        self._restarted = -math.inf
        self._silence = SILENCE_SECONDS + config.timeout_seconds
        for name, count in (opt_outs or {}).items():
            self._host(name).opt_outs = count

    def ask(self, ask: Ask) -> Answer:
        """Take back, note, lend; the whole conversation between a worker and the ledger."""
        now = self._clock()
        self._seen[ask.worker] = now
        self._forget_the_silent(now)
        self._forget_hosts(now)
        self._stop_waiting(ask.worker, keep=ask.wanted)
        for name, waits in ask.returned.items():
            for wait in waits:
                self._host(name).slots.take_back(wait, now)
        for name in {*ask.held, *ask.returned, *self._holds.get(ask.worker, ())}:
            self._host(name).slots.settle(ask.worker, ask.held.get(name, 0), now)
        for name, news in ask.news.items():
            self._note(self._host(name), news, now)
        granted = {}
        for name, count in ask.wanted.items():
            waits = self._lend(self._host(name), ask.worker, count, now)
            if waits:
                granted[name] = waits
        self._holds[ask.worker] = {*ask.held, *granted}
        touched = {*ask.held, *ask.wanted}
        hosts = {name: self._hosts[name] for name in touched}
        closed = {name: self._closed(host, now) for name, host in hosts.items()}
        return Answer(
            granted=granted,
            recalled=self._recalled(ask, now),
            closed={name: why for name, why in closed.items() if why is not None},
            paused={n: h.paused_until - now for n, h in hosts.items() if h.paused_until > now},
            again_seconds=max(LEAST_SECONDS, SECONDS_PER_WORKER * len(self._seen)),
        )

    @property
    def num_hosts(self) -> int:
        """Hosts of which it remembers something."""
        return len(self._hosts)

    def restarted(self) -> None:
        """Take into account that a ledger before this one lent slots: at first only listen."""
        self._restarted = self._clock()

    def leave(self, worker: str) -> None:
        """The worker is done and holds nothing."""
        self._seen.pop(worker, None)
        self._drop(worker, self._clock())

    def _stop_waiting(self, worker: str, keep: Mapping[str, int]) -> None:
        for name in (self._waits.get(worker, set()) - keep.keys()) & self._hosts.keys():
            self._hosts[name].slots.waiting.pop(worker, None)
        self._waits[worker] = set(keep)

    def _host(self, name: str) -> _Host:
        if name not in self._hosts:
            limits = limits_of(name, self._config)
            # A ledger before this one may have lent any of them until it ended.
            usable_from = self._restarted + limits.interval_seconds
            slots = LentSlots(
                most=limits.slots,
                interval_seconds=limits.interval_seconds,
                free=[usable_from] * limits.slots,
            )
            self._hosts[name] = _Host(slots=slots)
        return self._hosts[name]

    def _note(self, host: _Host, news: HostNews, now: float) -> None:
        if news.successes:
            host.failures_in_a_row = 0
        else:
            host.failures_in_a_row += news.failures
        host.opt_outs += news.opt_outs
        host.paused_until = max(host.paused_until, now + news.pause_seconds)
        limit = self._config.host_failures
        if limit and host.failures_in_a_row >= limit:
            # One failure more, after the pause, closes the host again.
            host.failures_in_a_row = limit - 1
            host.closed_until = now + UNAVAILABLE_SECONDS

    def _closed(self, host: _Host, now: float) -> Closed | None:
        limit = self._config.host_opt_outs
        if limit and host.opt_outs >= limit:
            detail = f"{host.opt_outs} opt-outs of this host"
            return Closed(reason=Reason.HOST_OPTED_OUT, detail=detail, seconds=math.inf)
        if host.closed_until > now:
            detail = f"{self._config.host_failures} failures in a row"
            seconds = host.closed_until - now
            return Closed(reason=Reason.HOST_UNAVAILABLE, detail=detail, seconds=seconds)
        return None

    def _lend(self, host: _Host, worker: str, count: int, now: float) -> list[float]:
        if self._closed(host, now) is not None:
            return []
        host.slots.waiting[worker] = count
        return [] if self._only_listens(now) else host.slots.lend(worker, now)

    def _only_listens(self, now: float) -> bool:
        return now < self._restarted + SETTLE_SECONDS

    def _recalled(self, ask: Ask, now: float) -> dict[str, int]:
        if self._only_listens(now):
            return {}
        counts = {name: self._hosts[name].slots.recall(ask.worker, now) for name in ask.held}
        return {name: count for name, count in counts.items() if count}

    def _forget_the_silent(self, now: float) -> None:
        if now - self._swept < 1.0:
            return
        self._swept = now
        for worker in [w for w, seen in self._seen.items() if now - seen > self._silence]:
            del self._seen[worker]
            self._drop(worker, now)

    def _forget_hosts(self, now: float) -> None:
        if now - self._forgot < FORGET_SECONDS:
            return
        self._forgot = now
        for name in [name for name, host in self._hosts.items() if host.is_new(now)]:
            del self._hosts[name]

    def _drop(self, worker: str, now: float) -> None:
        self._stop_waiting(worker, keep={})
        del self._waits[worker]
        for name in self._holds.pop(worker, ()):
            self._host(name).slots.settle(worker, 0, now)
