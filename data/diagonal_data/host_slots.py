"""A worker's side of the host ledger: slots to make requests with, borrowed in batches.

`slot(host)` waits for a slot of the host and for the moment from which it may be used; it ends with
the request. What the worker holds stays with it while there is work for it, so most requests need
no message. A message goes out when something is wanted or has become known, at most every
`Answer.again_seconds`, and as a sign of life in any case.
"""

import asyncio
import contextlib
import heapq
import logging
import os
import socket
import uuid
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Self

from diagonal_data.fetch_config import FetchConfig
from diagonal_data.host_ledger import Answer, Ask, Closed, HostNews, limits_of
from diagonal_data.schema import Reason
from diagonal_infra.shared import Shared

logger = logging.getLogger(__name__)

SIGN_OF_LIFE_SECONDS = 2.0
STALE_SECONDS = 10.0
"""Without an answer for so long nothing more is begun; well under the ledger's patience."""
IDLE_SECONDS = 1.0
"""How long an unused slot is kept before it is given back."""


class HostClosedError(Exception):
    """The host is not asked: it fails all the time, or opted out too often."""

    def __init__(self, closed: Closed) -> None:
        super().__init__(closed.detail)
        self.reason: Reason = closed.reason
        self.detail = closed.detail


@dataclass
class _Held:
    """What the worker has of one host."""

    interval_seconds: float
    most: int
    free: list[tuple[float, float]] = field(default_factory=list)
    """(usable from, unused since) of each slot without a request: a heap."""
    in_use: int = 0
    waiters: deque[asyncio.Future[float]] = field(default_factory=deque)
    recalled: int = 0
    closed: Closed | None = None
    closed_until: float = 0.0
    paused_until: float = 0.0
    news: HostNews | None = None

    @property
    def count(self) -> int:
        return len(self.free) + self.in_use

    def is_of_use(self, now: float) -> bool:
        """Whether it holds, awaits or knows anything."""
        known = self.news or max(self.closed_until, self.paused_until) > now
        return bool(self.count or self.waiters or known)

    @property
    def wanted(self) -> int:
        unserved = sum(not waiter.done() for waiter in self.waiters)
        return max(0, min(unserved, self.most - self.count))


class HostSlots:
    """The slots of one worker; an async context, in which it answers for its life."""

    def __init__(self, ledger: Shared, config: FetchConfig) -> None:
        self._ledger = ledger
        self._config = config
        self._worker = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._hosts: dict[str, _Held] = {}
        self._returned: dict[str, list[float]] = {}
        self._in_flight = asyncio.Semaphore(config.max_in_flight)
        self._wake = asyncio.Event()
        self._fresh = asyncio.Event()
        self._fresh.set()

    async def __aenter__(self) -> Self:
        self._messages = asyncio.create_task(self._exchange_messages())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._messages.cancel()
        await asyncio.gather(self._messages, return_exceptions=True)
        news = {name: held.news for name, held in self._hosts.items() if held.news}
        try:
            async with asyncio.timeout(STALE_SECONDS):
                await self._ledger.call("ask", Ask(worker=self._worker, news=news))
                await self._ledger.call("leave", self._worker)
        except Exception:
            # The work is done and must not be lost; the ledger will miss the signs of life.
            logger.exception("the host ledger does not hear that a worker leaves")

    @contextlib.asynccontextmanager
    async def slot(self, host: str) -> AsyncIterator[None]:
        """Hold one of the host's slots, and then a place among all requests, for a request.

        In the other order the line for one slow host would take all places.

        Raises:
            HostClosedError: the host is not to be asked.
        """
        held = self._held(host)
        usable_from = await self._take(held)
        loop = asyncio.get_running_loop()
        started = usable_from
        try:
            while (now := loop.time()) < (start := max(usable_from, held.paused_until)):
                await asyncio.sleep(start - now)
            async with self._in_flight:
                await self._fresh.wait()
                self._check_open(held)
                # Only now: the next request of this slot keeps its distance from this one.
                started = loop.time()
                yield
        finally:
            held.in_use -= 1
            self._give(host, held, started + held.interval_seconds)

    def note(
        self,
        host: str,
        *,
        succeeded: bool = False,
        failed: bool = False,
        opted_out: bool = False,
        pause_seconds: float = 0.0,
    ) -> None:
        """Remember what a request came to, for the next message."""
        held = self._held(host)
        news = held.news or HostNews()
        held.news = HostNews(
            successes=news.successes + succeeded,
            failures=0 if succeeded else news.failures + failed,
            opt_outs=news.opt_outs + opted_out,
            pause_seconds=max(news.pause_seconds, pause_seconds),
        )
        if pause_seconds:
            until = asyncio.get_running_loop().time() + pause_seconds
            held.paused_until = max(held.paused_until, until)
        if failed or opted_out or pause_seconds:
            self._wake.set()

    def _held(self, host: str) -> _Held:
        if host not in self._hosts:
            limits = limits_of(host, self._config)
            self._hosts[host] = _Held(interval_seconds=limits.interval_seconds, most=limits.slots)
        return self._hosts[host]

    def _check_open(self, held: _Held) -> None:
        if held.closed is not None and asyncio.get_running_loop().time() < held.closed_until:
            raise HostClosedError(held.closed)

    async def _take(self, held: _Held) -> float:
        """A slot, counted as in use; when it may be used."""
        self._check_open(held)
        if held.free:
            held.in_use += 1
            return heapq.heappop(held.free)[0]
        waiter: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        held.waiters.append(waiter)
        self._wake.set()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                held.in_use -= 1
                self._put(held, waiter.result())
            raise

    def _give(self, host: str, held: _Held, usable_from: float) -> None:
        """A request is over: the slot goes to the ledger, to the next request, or lies free."""
        if held.recalled > 0:
            held.recalled -= 1
            wait = max(0.0, usable_from - asyncio.get_running_loop().time())
            self._returned.setdefault(host, []).append(wait)
            self._wake.set()
        else:
            self._put(held, usable_from)

    def _put(self, held: _Held, usable_from: float) -> None:
        while held.waiters:
            waiter = held.waiters.popleft()
            if not waiter.done():
                held.in_use += 1
                waiter.set_result(usable_from)
                return
        heapq.heappush(held.free, (usable_from, asyncio.get_running_loop().time()))

    async def _exchange_messages(self) -> None:
        while True:
            # Not wait_for: in Python 3.11 it may swallow the cancellation that ends this loop.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SIGN_OF_LIFE_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            ask = self._message()
            try:
                async with asyncio.timeout(STALE_SECONDS):
                    answer: Answer = await self._ledger.call("ask", ask)
            except Exception:
                # A ledger that cannot be reached now may be started anew; what is under way goes
                # on, and what the message said of held slots the next one says again.
                logger.exception("the host ledger does not answer")
                self._fresh.clear()
                self._wake.set()
                await asyncio.sleep(SIGN_OF_LIFE_SECONDS)
                continue
            self._fresh.set()
            self._take_in(answer)
            if any(held.wanted for held in self._hosts.values()):
                self._wake.set()
            await asyncio.sleep(answer.again_seconds)

    def _message(self) -> Ask:
        """What has changed; slots that nobody used for a while are given back."""
        now = asyncio.get_running_loop().time()
        for name, held in self._hosts.items():
            for usable_from, since in [s for s in held.free if now - s[1] > IDLE_SECONDS]:
                held.free.remove((usable_from, since))
                self._returned.setdefault(name, []).append(max(0.0, usable_from - now))
            heapq.heapify(held.free)
        hosts = self._hosts.items()
        ask = Ask(
            worker=self._worker,
            held={name: held.count for name, held in hosts if held.count},
            wanted={name: held.wanted for name, held in hosts if held.wanted},
            returned=self._returned,
            news={name: held.news for name, held in hosts if held.news},
        )
        self._returned = {}
        for held in self._hosts.values():
            held.news = None
        return ask

    def _take_in(self, answer: Answer) -> None:
        now = asyncio.get_running_loop().time()
        for name, waits in answer.granted.items():
            for wait in waits:
                self._put(self._held(name), now + wait)
        for name, held in self._hosts.items():
            held.recalled = answer.recalled.get(name, 0)
            held.paused_until = max(held.paused_until, now + answer.paused.get(name, 0.0))
        for name, closed in answer.closed.items():
            self._close(self._held(name), closed, now)
        idle = [name for name, held in self._hosts.items() if not held.is_of_use(now)]
        for name in idle:
            del self._hosts[name]

    def _close(self, held: _Held, closed: Closed, now: float) -> None:
        held.closed, held.closed_until = closed, now + closed.seconds
        while held.waiters:
            waiter = held.waiters.popleft()
            if not waiter.done():
                waiter.set_exception(HostClosedError(closed))
