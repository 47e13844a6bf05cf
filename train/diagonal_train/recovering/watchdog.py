"""Where each rank is, and the end of a run in which one hangs.

    with stage("data"): …            what the loop is in; entering and leaving it is progress
    with collective("barrier"): …    what it waits for with other ranks
    with watching(…): …              a thread of each rank that looks at these

A rank that is in one stage for half of `hang_seconds` writes where it is to RUN/watch/rank-N.json;
after all of them the lowest of those who wrote names who is missing, behind or elsewhere, and each
dumps its stacks and ends with HUNG_EXIT_CODE, so that the launcher starts the run anew. A healthy
run writes nothing. Time in which the whole process was stopped does not count. Not seen: a rank
whose threads cannot run at all; the others name it.
"""

import faulthandler
import json
import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch.distributed as dist

from diagonal_infra import storage
from diagonal_infra.errors import DiagonalError, StorageError
from diagonal_train.config.recovery import RecoveryConfig

HUNG_EXIT_CODE = 86
LONGEST_TICK_SECONDS = 5.0
LOST_PEER_SIGNS = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer")
Record = dict[str, Any]
logger = logging.getLogger(__name__)


@dataclass
class Place:
    """Where this process is."""

    step: int = 0
    stage: str = "start"
    since: float = field(default_factory=time.monotonic)
    """When the stage was entered, or the last one left."""
    collective: str | None = None
    waited: float = 0.0
    """Seconds in collectives so far."""
    busy: Counter[str] = field(default_factory=Counter)
    """Seconds by stage so far, without those in collectives."""


PLACE = Place()
"""Of this process, which is one rank."""


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Say what the loop is in.

    Raises:
        DiagonalError: a collective failed, as it does in all ranks when one dies.
    """
    began, waited, before = time.monotonic(), PLACE.waited, PLACE.stage
    PLACE.stage, PLACE.since, PLACE.collective = name, began, None
    try:
        yield
    except RuntimeError as error:
        if not is_lost_peer(error):
            raise
        where = PLACE.collective or "a collective of the backward pass"
        raise DiagonalError(
            f"lost another rank at step {PLACE.step} in stage {name!r}, {where!r}: its own log "
            "says why; run the same command again to go on from the newest checkpoint "
            f"({str(error).strip()[:300]})"
        ) from error
    finally:
        PLACE.since = time.monotonic()
        PLACE.busy[name] += PLACE.since - began - (PLACE.waited - waited)  # pyright: ignore[reportArgumentType]  # seconds
        PLACE.stage = before


@contextmanager
def collective(name: str) -> Iterator[None]:
    """Say what the rank waits for; the name stays if it fails."""
    began, before = time.monotonic(), PLACE.collective
    PLACE.collective = name
    yield
    PLACE.collective = before
    PLACE.waited += time.monotonic() - began


def is_lost_peer(error: RuntimeError) -> bool:
    """Whether a collective failed because another rank is gone or silent."""
    if not dist.is_initialized():
        return False
    return isinstance(error, dist.DistError) or any(s in str(error) for s in LOST_PEER_SIGNS)


@contextmanager
def watching(run: str, rank: int, world_size: int, config: RecoveryConfig) -> Iterator[None]:
    """Watch this rank while the block runs."""
    watch = Watch(run, rank, world_size, config)
    thread = threading.Thread(target=watch.run, name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        watch.ended.set()
        thread.join()


class Watch:
    """Looks at this rank's place now and then."""

    def __init__(self, run: str, rank: int, world_size: int, config: RecoveryConfig) -> None:
        self.ended = threading.Event()
        self._run, self._rank, self._world_size, self._config = run, rank, world_size, config
        self._tick = min(
            config.hang_seconds / 8, config.data_wait_seconds / 4, LONGEST_TICK_SECONDS
        )
        self._warned = self._published = -1.0

    def run(self) -> None:
        """Look until `ended` is set."""
        self._forget()
        # Before this moment nothing was watched, so that a stop could not be told from a hang.
        looked = since = time.monotonic()
        stopped = 0.0
        while not self.ended.wait(self._tick):
            before, looked = looked, time.monotonic()
            if PLACE.since > since:
                since, stopped = PLACE.since, 0.0
            # This thread did not run either: the process was stopped, as `scontrol suspend` does.
            late = looked - before - self._tick
            stopped += late if late > self._tick else 0.0
            self._look(since, looked - since - stopped)
        if self._published >= 0:
            self._forget()

    def _look(self, since: float, silent: float) -> None:
        if PLACE.stage == "data" and silent > self._config.data_wait_seconds > 0:
            if self._warned != since:
                logger.warning("rank=%d waits for data seconds=%.0f", self._rank, silent)
            self._warned = since
        if silent > self._config.hang_seconds / 2:
            if self._published != since:
                self._publish(silent)
            self._published = since
        elif self._published >= 0:
            self._forget()
        if silent > self._config.hang_seconds:
            self._end(silent)

    def _end(self, silent: float) -> None:
        own = self._record(silent)
        logger.error("hangs %s", " ".join(f"{k}={v}" for k, v in own.items()))
        records = {rank: self._read(rank) for rank in range(self._world_size)}
        if self._rank == min(r for r in records if records[r] is not None or r == self._rank):
            logger.error(
                "no progress for %.0f s: %s; each rank ends with code %d, stacks above; a longer "
                "--recovery.hang-seconds waits longer",
                *(silent, diagnosis(records), HUNG_EXIT_CODE),
            )
        faulthandler.dump_traceback(sys.__stderr__ or sys.stderr, all_threads=True)
        for handler in logging.getLogger().handlers:
            handler.flush()
        os._exit(HUNG_EXIT_CODE)

    def _record(self, silent: float) -> Record:
        return {
            "rank": self._rank,
            "step": PLACE.step,
            "stage": PLACE.stage,
            "collective": PLACE.collective,
            "seconds": round(silent),
        }

    def _publish(self, silent: float) -> None:
        content = json.dumps(self._record(silent)) + "\n"
        # A full disk must not end the watch.
        with suppress(OSError, StorageError):
            storage.write_bytes(self._path(self._rank), content.encode())

    def _read(self, rank: int) -> Record | None:
        path = self._path(rank)
        with suppress(StorageError):
            return json.loads(storage.read_bytes(path)) if storage.exists(path) else None
        return None

    def _forget(self) -> None:
        self._published = -1.0
        with suppress(StorageError):
            storage.delete(self._path(self._rank))

    def _path(self, rank: int) -> str:
        return storage.join(self._run, "watch", f"rank-{rank}.json")


def diagnosis(records: dict[int, Record | None]) -> str:
    """Who keeps the others waiting, by what each rank wrote of itself; None: it wrote nothing."""
    missing = [rank for rank, record in records.items() if record is None]
    known = [record for record in records.values() if record is not None]
    if missing:
        return f"rank {_listed(missing)} says nothing: dead, frozen, or its node is gone"
    last = max(record["step"] for record in known)
    behind = [record for record in known if record["step"] < last]
    if not behind:
        behind = [record for record in known if record["collective"] is None]
    if behind and len(behind) < len(known):
        return "; ".join(_placed(record) for record in behind[:8]) + "; the others wait for it"
    return (
        f"all ranks are in one place: {_placed(known[0])}; look at the network between them, and "
        "at what all of them read"
    )


def _placed(record: Record) -> str:
    doing = f"collective {record['collective']!r}" if record["collective"] else "no collective"
    return f"rank {record['rank']} is at step {record['step']}, stage {record['stage']!r}, {doing}"


def _listed(ranks: list[int]) -> str:
    return ", ".join(map(str, ranks[:8])) + (" …" if len(ranks) > 8 else "")
