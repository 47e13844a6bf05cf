"""What is recorded while training: metrics.jsonl, and the line on the console.

    RUN/metrics.jsonl    one JSON object per logged step, in order, each step at most once
    RUN/tensorboard/     the same numbers; also to other trackers (trackers.py)
    RUN/summary.json     written when the last step is saved

A run that goes on first drops what was logged behind its checkpoint. In a run folder on an object
store, where nothing can be appended, metrics.jsonl is put anew now and then and before each save.
"""

import json
import logging
import math
import resource
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

from rich.progress import Progress, TaskID

from diagonal_infra import log, storage
from diagonal_infra.errors import StorageError
from diagonal_train.watching.trackers import Trackers

UPLOAD_SECONDS = 60.0
"""Longest time that a line stays off an object store; a save does not leave any off."""
SILENCE_SECONDS = 30.0
"""Longest time without a line of progress, if records are written."""
logger = logging.getLogger(__name__)


class MetricsLog:
    """Appends records to metrics.jsonl and sends them to trackers; each line is flushed.

    A disk that is full keeps lines in memory until it takes them: it ends no run, as a save that
    fails does not.
    """

    def __init__(self, run: str, from_step: int, trackers: Trackers | None = None) -> None:
        self._path = storage.join(run, "metrics.jsonl")
        self._local = storage.local_path(self._path)
        self._trackers = trackers
        self._file: IO[bytes] | None = None
        self._unwritten = b""
        self._is_full = False
        kept = [line for line in read_metrics(self._path) if line["step"] <= from_step]
        before = kept[-1].get("wall_seconds", 0.0) if kept else 0.0
        self._began = time.perf_counter() - before
        self._lines = [json.dumps(line) + "\n" for line in kept]
        storage.write_bytes(self._path, "".join(self._lines).encode())
        self._sent_at, self._unsent = time.perf_counter(), 0
        if self._local is not None:
            self._lines = []
            self._file = Path(self._local).open("ab", buffering=0)  # noqa: SIM115  # open for the run

    def write(self, record: Mapping[str, float]) -> None:
        """Add one record; it has a `step` behind all before it. What is not finite becomes null."""
        # JSON knows no NaN.
        values: dict[str, Any] = {k: v if math.isfinite(v) else None for k, v in record.items()}
        values["wall_seconds"] = round(time.perf_counter() - self._began, 3)
        line = json.dumps(values) + "\n"
        if self._file is not None:
            self._unwritten += line.encode()
            self._append(self._file)
        else:
            self._lines.append(line)
            self._unsent += 1
            if time.perf_counter() - self._sent_at > UPLOAD_SECONDS:
                self.flush()
        if self._trackers is not None:
            self._trackers.log(values)

    def flush(self) -> None:
        """Have all lines in the run folder; what does not take them is tried again later."""
        if self._file is not None and self._unwritten:
            self._append(self._file)
        if self._unsent:
            self._sent_at = time.perf_counter()
            try:
                storage.write_bytes(self._path, "".join(self._lines).encode())
                self._unsent = 0
            except (OSError, StorageError) as error:
                logger.warning("metrics not uploaded lines=%d error=%s", self._unsent, error)

    def close(self) -> None:
        """Write out what is buffered."""
        self.flush()
        if self._file is not None:
            self._file.close()
        if self._trackers is not None:
            self._trackers.close()

    def _append(self, file: IO[bytes]) -> None:
        try:
            while self._unwritten:
                self._unwritten = self._unwritten[file.write(self._unwritten) :]
            self._is_full = False
        except OSError as error:
            if not self._is_full:
                logger.warning("metrics not written, lines are kept in memory: %s", error)
            self._is_full = True


class NoMetrics:
    """What ranks other than the first have in place of `MetricsLog`."""

    def write(self, record: Mapping[str, float]) -> None:
        """Do nothing."""

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


@dataclass
class Clock:
    """Time, samples and steps since the last record."""

    since: float
    waited: float = 0.0
    samples: int = 0
    steps: int = 0
    stages: Counter[str] = field(default_factory=Counter)
    """Seconds by stage of the step."""

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the block as waiting for data."""
        before = time.perf_counter()
        try:
            yield
        finally:
            self.waited += time.perf_counter() - before

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Leave the block out of all rates."""
        before = time.perf_counter()
        try:
            yield
        finally:
            self.since += time.perf_counter() - before

    def count(self, samples: int, seconds: Mapping[str, float]) -> None:
        """One more step has ended."""
        self.samples += samples
        self.steps += 1
        self.stages.update(seconds)

    def rates(self) -> dict[str, float]:
        """Samples per second, the share of time spent waiting, means per step; starts anew."""
        now = time.perf_counter()
        seconds, steps = max(now - self.since, 1e-9), max(self.steps, 1)
        rates = {
            "samples_per_second": self.samples / seconds,
            "data_wait_share": self.waited / seconds,
            "seconds_step": seconds / steps,
            "seconds_data": self.waited / steps,
            **{f"seconds_{stage}": took / steps for stage, took in sorted(self.stages.items())},
        }
        self.since, self.waited, self.samples, self.steps = now, 0.0, 0, 0
        self.stages.clear()
        return rates


@dataclass
class Console:
    """How the run goes, for people: a bar that changes on a terminal, else lines.

    The first record is a line, and so are those asked for and the first behind a silence.
    """

    total_steps: int
    bar: Progress | None = None
    task: TaskID | None = None
    rates: str = ""
    silent_since: float = -math.inf

    def show(self, step: int, loss: float) -> None:
        """Move the bar."""
        if self.bar is not None and self.task is not None:
            text = f"train loss {loss:.3f}{self.rates}"
            self.bar.update(self.task, completed=step, description=text)

    def record(self, record: Mapping[str, float], *, line: bool) -> None:
        """Show what was just recorded; `line` asks for one where there is no terminal."""
        speed, wait = record["samples_per_second"], record["data_wait_share"]
        self.rates = f" · {speed:,.0f} samples/s · data wait {wait:.0%}"
        now = time.perf_counter()
        if self.bar is None or not self.bar.disable:
            return
        if not line and now - self.silent_since < SILENCE_SECONDS:
            return
        self.silent_since = now
        left = (self.total_steps - record["step"]) * record["samples_seen"] / record["step"]
        logger.info(
            "step=%d/%d loss=%.4f samples_per_second=%.1f data_wait_share=%.3f eta=%s",
            *(record["step"], self.total_steps, record["loss"], speed, wait),
            timedelta(seconds=round(left / max(speed, 1e-9))),
        )


@contextmanager
def console(*, show: bool, total: int, completed: int) -> Iterator[Console]:
    """The console of a run; silent if it is not to show anything."""
    if not show:
        yield Console(total_steps=total)
        return
    with log.progress() as bar:
        task = bar.add_task("train", total=total, completed=completed)
        yield Console(total_steps=total, bar=bar, task=task)


def cpu_seconds() -> float:
    """Processor time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def read_metrics(path: str) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl up to one that a kill cut; none if there is no such file."""
    if not storage.exists(path):
        return []
    lines: list[dict[str, Any]] = []
    for line in storage.read_bytes(path).decode("utf-8", "replace").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            # Its step is done again.
            break
    return lines
