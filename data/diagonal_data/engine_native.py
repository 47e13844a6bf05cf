"""Fetch with our own client and decode with our own rules; the default engine.

    candidates → one job per URL → a line per host, the longest first → lanes → decode threads

One event loop fetches, a few threads decode (the codecs release the interpreter lock); the units
that are at work in a process share both (workplace.py). A lane is
one request at a time to one host, and a host has as many lanes as slots, so that a slow host with a
thousand URLs takes a few places and not a thousand. A lane holds its body until the image is
decoded: when decoding is behind, fetching waits. What is not there at the unit's deadline ends as
`unit_timed_out`.
"""

import asyncio
import hashlib
import logging
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from diagonal_data import heap, workplace
from diagonal_data.addresses import host_of, http_url
from diagonal_data.block_lists import BlockLists
from diagonal_data.config import ShardsConfig
from diagonal_data.decode import Refusal, decode_image
from diagonal_data.host_ledger import limits_of
from diagonal_data.http_client import clean_text
from diagonal_data.outcome import XMP_OPT_OUT, Deliver, Outcome
from diagonal_data.response import Response
from diagonal_data.schema import Candidate, Reason, canonical_url
from diagonal_data.workplace import Workplace
from diagonal_infra.shared import Shared

logger = logging.getLogger(__name__)

MOST_CAPTION_CHARS = 100_000


@dataclass
class _Job:
    """One image to fetch and the candidates that want it."""

    url: str
    face_bboxes: Sequence[Sequence[float]] | None
    indices: list[int] = field(default_factory=list)


def fetch_and_decode(
    candidates: Sequence[Candidate], config: ShardsConfig, ledger: Shared, deliver: Deliver
) -> None:
    """One outcome per candidate; see `outcome.Engine`."""
    with workplace.joined(config, ledger) as place:
        place.run(_fetch_and_decode(candidates, config, place, deliver))
    heap.give_back()


async def _fetch_and_decode(
    candidates: Sequence[Candidate], config: ShardsConfig, place: Workplace, deliver: Deliver
) -> None:
    work = _UnitWork(config, place, deliver)
    async with asyncio.TaskGroup() as group:
        for host, line in lines_of(candidates, deliver):
            lanes = min(len(line), limits_of(host, config.fetch).slots)
            for _ in range(lanes):
                group.create_task(work.run_lane(line))


def lines_of(candidates: Sequence[Candidate], deliver: Deliver) -> list[tuple[str, deque[_Job]]]:
    """Jobs by host, the longest line first; candidates with unusable captions are delivered.

    A URL that several candidates name is fetched once.
    """
    jobs: dict[Any, _Job] = {}
    for index, candidate in enumerate(candidates):
        trouble = caption_trouble(candidate.caption)
        if trouble:
            deliver(index, Outcome(reason=Reason.BAD_CAPTION, detail=trouble))
            continue
        url, faces = canonical_url(candidate.url), candidate.face_bboxes
        job = jobs.setdefault((url, str(faces)), _Job(candidate.url, faces))
        job.indices.append(index)
    lines: dict[str, deque[_Job]] = defaultdict(deque)
    for job in jobs.values():
        url = http_url(job.url)
        lines["" if url is None else host_of(url)].append(job)
    return sorted(lines.items(), key=lambda item: -len(item[1]))


def caption_trouble(caption: str) -> str | None:
    """Why a caption is of no use to any tokenizer, or None."""
    if not caption.strip():
        return "empty"
    if "\0" in caption:
        return "contains NUL"
    if len(caption) > MOST_CAPTION_CHARS:
        return f"{len(caption)} characters, more than {MOST_CAPTION_CHARS}"
    return None


class _UnitWork:
    """What the lanes of one unit share: the workplace, the deadline."""

    def __init__(self, config: ShardsConfig, place: Workplace, deliver: Deliver) -> None:
        self._place = place
        self._deliver = deliver
        self._decode = partial(_decode, config=config, block=place.block)
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + config.unit_deadline_seconds

    async def run_lane(self, line: deque[_Job]) -> None:
        """Work off jobs of one host until its line is empty."""
        async with self._place.lanes:
            while line:
                job = line.popleft()
                outcome = await self._outcome_of(job)
                for index in job.indices:
                    self._deliver(index, outcome)

    async def _outcome_of(self, job: _Job) -> Outcome:
        try:
            async with (
                asyncio.timeout_at(self._deadline),
                self._place.fetcher.open(job.url) as response,
            ):
                if response.body is None:
                    facts = _facts(response)
                    return Outcome(reason=response.reason, detail=response.detail, **facts)
                decode = partial(self._decode, response, job.face_bboxes)
                return await self._loop.run_in_executor(self._place.threads, decode)
        except TimeoutError:
            return Outcome(reason=Reason.UNIT_TIMED_OUT, detail="deadline of the unit")
        except Exception as error:
            # The border of one row: what nobody thought of must not cost the unit its others.
            logger.exception("no outcome url=%s", job.url)
            return Outcome(reason=Reason.ENGINE_FAILED, detail=clean_text(repr(error))[:300])


def _facts(response: Response) -> dict[str, Any]:
    return {
        "http_status": response.http_status,
        "fetch_ms": response.fetch_ms,
        "robots": response.robots,
        "x_robots_tag": response.x_robots_tag,
        "tdm_reservation": response.tdm_reservation,
        "content_usage": response.content_usage,
        "final_url": response.final_url if response.final_url != response.url else None,
        "attempts": response.attempts,
    }


def _decode(
    response: Response,
    face_bboxes: Sequence[Sequence[float]] | None,
    *,
    config: ShardsConfig,
    block: BlockLists,
) -> Outcome:
    body = response.body
    assert body is not None
    facts: dict[str, Any] = _facts(response) | {"sha256": hashlib.sha256(body).hexdigest()}
    listed = block.names_body(body, facts["sha256"])
    if listed:
        return _blocked(facts, listed)
    decoded = decode_image(body, config.image_size, config.decode, face_bboxes)
    if isinstance(decoded, Refusal):
        return Outcome(reason=decoded.reason, detail=decoded.detail, **facts)
    if block.names_picture(decoded.phash):
        return _blocked(facts, "phash")
    mining = decoded.rights.data_mining or ""
    if config.fetch.respect_opt_out and mining.startswith("DMI-PROHIBITED"):
        rights, detail = decoded.rights, f"{XMP_OPT_OUT}{mining}"
        return Outcome(reason=Reason.OPTED_OUT, detail=detail, rights=rights, **facts)
    return Outcome(image=decoded, rights=decoded.rights, **facts)


def _blocked(facts: dict[str, Any], kind: str) -> Outcome:
    detail = f"on the block list of {kind} hashes"
    return Outcome(reason=Reason.BLOCKED_IMAGE, detail=detail, **facts)
