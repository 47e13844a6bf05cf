"""Where a step's time goes, by stage, without making the device wait.

On CUDA a stage is the time between two events on the device's stream. They are read once both have
passed, so what the end of a step took comes with the step after it; sums over steps are right.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

STAGES: tuple[str, ...] = ("prepare", "forward", "loss", "backward", "optimizer")


class StageClock:
    """Adds up seconds by stage; stages must not lie in each other."""

    def __init__(self) -> None:
        self._seconds = _nothing()
        self._running: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the block towards a stage."""
        if not torch.cuda.is_initialized():
            began = time.perf_counter()
            yield
            self._seconds[name] += time.perf_counter() - began
            return
        first = torch.cuda.Event(enable_timing=True)
        last = torch.cuda.Event(enable_timing=True)
        first.record()
        yield
        last.record()
        self._running.append((name, first, last))

    def take(self) -> dict[str, float]:
        """Seconds of each stage since the last call, of those that have ended."""
        running, self._running = self._running, []
        for name, began, ended in running:
            if ended.query():
                self._seconds[name] += began.elapsed_time(ended) / 1000
            else:
                self._running.append((name, began, ended))
        taken, self._seconds = self._seconds, _nothing()
        return taken


def _nothing() -> dict[str, float]:
    return dict.fromkeys(STAGES, 0.0)
