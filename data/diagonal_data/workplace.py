"""What the units at work in one process share: the event loop, the fetcher, the decode threads.

    unit's thread → joined() → run(coroutine) ─┐
    unit's thread → joined() → run(coroutine) ─┴→ one event loop in a thread of its own → threads

The first unit opens the workplace and the last one closes it, so that what is lent to the process
goes back when nothing is left to do. Limits are the workplace's and not the units': several hold
no more requests, bodies and pictures than one. While the last URLs of one unit wait for their
servers, the next has their place.
"""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

import uvloop

from diagonal_data import heap
from diagonal_data.block_lists import BlockLists, load_block_lists
from diagonal_data.config import ShardsConfig
from diagonal_data.fetch import Fetcher
from diagonal_data.site_rules import WebCache
from diagonal_infra.shared import Shared

Result = TypeVar("Result")

LOCAL_DECODE_THREADS = 2
"""A Ray worker has one: it has one CPU, and two large pictures at a time would take 80 MB more."""
BACKLOG = 64
"""Lanes at work beyond the requests in flight: those whose body is decoded, or that wait for the
rate of their host."""


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """Of one run in this process; all but `run` belongs to the loop's thread."""

    fetcher: Fetcher
    block: BlockLists
    threads: ThreadPoolExecutor
    lanes: asyncio.Semaphore
    """A place for each body that may be held."""
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The coroutine's result; the calling thread waits."""
        return _run_on(self.loop, work)


@dataclass
class _Joined:
    units: int = 0
    opened: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    place: Workplace | None = None


_turn = threading.Lock()
_workplaces: dict[str, _Joined] = {}
"""By run."""


@contextlib.contextmanager
def joined(config: ShardsConfig, ledger: Shared) -> Iterator[Workplace]:
    """The workplace of the ledger's run, for one unit; it is opened or closed as needed."""
    # Opening and closing are done under the lock: never are there two of one run.
    with _turn:
        joined = _workplaces.setdefault(ledger.name, _Joined())
        if joined.place is None:
            joined.place = joined.opened.enter_context(_opened(config, ledger))
        joined.units += 1
    try:
        yield joined.place
    finally:
        with _turn:
            joined.units -= 1
            if joined.units == 0:
                del _workplaces[ledger.name]
                joined.opened.close()


@contextlib.contextmanager
def _opened(config: ShardsConfig, ledger: Shared) -> Iterator[Workplace]:
    heap.share_one_arena()
    block = load_block_lists(config.block)
    fetcher = Fetcher(
        config.fetch,
        config.allow_hosts,
        ledger=ledger,
        cache=_cache_of(ledger.name),
        block=block,
    )
    decoders = LOCAL_DECODE_THREADS if config.local else 1
    with _loop_in_a_thread() as loop, ThreadPoolExecutor(decoders) as threads:
        _run_on(loop, fetcher.__aenter__())
        try:
            yield Workplace(
                fetcher=fetcher,
                block=block,
                threads=threads,
                lanes=asyncio.Semaphore(BACKLOG + config.fetch.max_in_flight),
                loop=loop,
            )
        finally:
            _run_on(loop, fetcher.__aexit__())


@contextlib.contextmanager
def _loop_in_a_thread() -> Iterator[asyncio.AbstractEventLoop]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        loop = runner.get_loop()
        # A daemon: a second Ctrl-C, while the first one is waited for, ends the process.
        thread = threading.Thread(target=loop.run_forever, name="fetch", daemon=True)
        thread.start()
        try:
            yield loop
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()


def _run_on(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Result]) -> Result:
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        return future.result()
    finally:
        # Of use after Ctrl-C only, which breaks off the waiting and not the work.
        future.cancel()


@lru_cache(maxsize=1)
def _cache_of(run: str) -> WebCache:
    """What this process knows of the web; its units of one run share it."""
    return WebCache()
