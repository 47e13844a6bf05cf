"""Fetch with our own client and decode with our own rules; the default engine.

One event loop fetches, a few threads decode (the codecs release the interpreter lock). A body is
held only until its image is decoded: while `max_in_flight` bodies wait for a thread, no further
fetch is begun. What is not there at the unit's deadline ends as `timed_out`.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from diagonal_data.config import ShardsConfig
from diagonal_data.decode import Refusal, decode_image
from diagonal_data.fetch import Fetcher, Response
from diagonal_data.outcome import Outcome
from diagonal_data.schema import Candidate, Reason

DECODE_THREADS = 2
AT_WORK = 4
"""Candidates at work per request in flight: those that stand in line for a slow host must not take
every place."""


def fetch_and_decode(candidates: Sequence[Candidate], config: ShardsConfig) -> list[Outcome]:
    """One outcome per candidate, in order; see `outcome.Engine`."""
    return asyncio.run(_fetch_and_decode(candidates, config))


async def _fetch_and_decode(candidates: Sequence[Candidate], config: ShardsConfig) -> list[Outcome]:
    with ThreadPoolExecutor(DECODE_THREADS) as threads:
        async with Fetcher(config.fetch, config.allow_hosts) as fetcher:
            work = _UnitWork(config, fetcher, threads)
            return list(await asyncio.gather(*map(work.outcome_of, candidates)))


class _UnitWork:
    """What the candidates of one unit share: places, the decode queue, the deadline."""

    def __init__(self, config: ShardsConfig, fetcher: Fetcher, threads: ThreadPoolExecutor) -> None:
        self._config = config
        self._fetcher = fetcher
        self._threads = threads
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + config.unit_deadline_seconds
        self._places = asyncio.Semaphore(AT_WORK * config.fetch.max_in_flight)
        self._bodies = 0
        self._room = asyncio.Condition()

    async def outcome_of(self, candidate: Candidate) -> Outcome:
        """Fetch and decode one candidate."""
        async with self._places:
            async with self._room:
                await self._room.wait_for(lambda: self._bodies < self._config.fetch.max_in_flight)
            try:
                async with asyncio.timeout_at(self._deadline):
                    response = await self._fetcher.get(candidate.url)
            except TimeoutError:
                return Outcome(reason=Reason.TIMED_OUT, detail="deadline of the unit")
            self._bodies += 1
            try:
                decode = partial(_decode, response, self._config)
                return await self._loop.run_in_executor(self._threads, decode)
            finally:
                async with self._room:
                    self._bodies -= 1
                    self._room.notify_all()


def _decode(response: Response, config: ShardsConfig) -> Outcome:
    facts = {
        "http_status": response.http_status,
        "fetch_ms": response.fetch_ms,
        "robots": response.robots,
    }
    if response.body is None:
        return Outcome(reason=response.reason, detail=response.detail, **facts)
    facts["sha256"] = hashlib.sha256(response.body).hexdigest()
    decoded = decode_image(response.body, config.image_size, config.decode)
    if isinstance(decoded, Refusal):
        return Outcome(reason=decoded.reason, detail=decoded.detail, **facts)
    return Outcome(image=decoded, **facts)
