"""What is recorded while training: metrics.jsonl, TensorBoard events, the progress bar.

    RUN/metrics.jsonl    one JSON object per logged step, in order, each step at most once
    RUN/tensorboard/     the same numbers
    RUN/summary.json     written when the last step is saved

A run that goes on first drops what was logged behind its checkpoint.
"""

import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from torch.utils.tensorboard import SummaryWriter

from diagonal_infra import log, storage


class MetricsLog:
    """Appends records to metrics.jsonl and TensorBoard; each line is flushed as it is written."""

    def __init__(self, run: str, from_step: int) -> None:
        path = Path(run) / "metrics.jsonl"
        kept = [line for line in _lines(path) if line["step"] <= from_step]
        content = "".join(json.dumps(line) + "\n" for line in kept)
        storage.write_bytes(str(path), content.encode())
        self._file: IO[str] = path.open("a", encoding="utf-8")
        # Events behind the checkpoint are hidden by TensorBoard from purge_step on.
        self._events = SummaryWriter(str(Path(run) / "tensorboard"), purge_step=from_step + 1)

    def write(self, record: dict[str, Any]) -> None:
        """Add one record; it has a `step` behind all before it."""
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        for name, value in record.items():
            if name != "step" and value is not None:
                self._events.add_scalar(name, value, record["step"])

    def close(self) -> None:
        """Write out what is buffered."""
        self._file.close()
        self._events.close()


class NoMetrics:
    """What ranks other than the first have in place of `MetricsLog`."""

    def write(self, record: dict[str, Any]) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


@dataclass
class Clock:
    """Time and samples since the last record."""

    since: float
    waited: float = 0.0
    samples: int = 0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the block as waiting for data."""
        before = time.perf_counter()
        try:
            yield
        finally:
            self.waited += time.perf_counter() - before

    def rates(self) -> dict[str, float]:
        """Samples per second and the share of time spent waiting; starts anew."""
        now = time.perf_counter()
        seconds = max(now - self.since, 1e-9)
        rates = {
            "samples_per_second": self.samples / seconds,
            "data_wait_share": self.waited / seconds,
        }
        self.since, self.waited, self.samples = now, 0.0, 0
        return rates


@contextmanager
def progress_bar(*, show: bool, total: int, completed: int) -> Iterator[Any]:
    """A function that moves a bar on stderr to a step and shows the loss beside it."""
    if not show:
        yield lambda step, loss: None
        return
    with log.progress() as progress:
        task = progress.add_task("train", total=total, completed=completed)
        yield lambda step, loss: progress.update(
            task, completed=step, description=f"train loss {loss:.3f}"
        )


def cpu_seconds() -> float:
    """Processor time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            # A kill cut the last line; its step is done again.
            return
