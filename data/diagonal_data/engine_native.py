"""Fetch with our own client and decode with our own rules; the default engine.

One event loop fetches, a few threads decode (the codecs release the interpreter lock). A body is
held only until its image is decoded, and `HELD` times the requests in flight is the most there are.
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
from diagonal_data.schema import Candidate

DECODE_THREADS = 2
HELD = 4
"""Candidates at work per request in flight: those that stand in line for a slow host must not take
every place."""


def fetch_and_decode(candidates: Sequence[Candidate], config: ShardsConfig) -> list[Outcome]:
    """One outcome per candidate, in order; see `outcome.Engine`."""
    return asyncio.run(_fetch_and_decode(candidates, config))


async def _fetch_and_decode(candidates: Sequence[Candidate], config: ShardsConfig) -> list[Outcome]:
    gate = asyncio.Semaphore(HELD * config.fetch.max_in_flight)
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(DECODE_THREADS) as threads:
        async with Fetcher(config.fetch, config.allow_hosts) as fetcher:

            async def outcome_of(candidate: Candidate) -> Outcome:
                async with gate:
                    response = await fetcher.get(candidate.url)
                    decode = partial(_decode, response, config)
                    return await loop.run_in_executor(threads, decode)

            return list(await asyncio.gather(*map(outcome_of, candidates)))


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
