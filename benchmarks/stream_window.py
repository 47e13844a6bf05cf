"""What a loader costs between two marks: CPU and wall seconds, and the memory of its workers.

    start-up, first samples │ first mark … last mark │ the rest is not read
                            └── CPU of this process and of all below it ──┘

The difference of two lengths of one run leaves out start-up, as that of two runs would, without the
noise of a second start. Workers run ahead by as much at one mark as at the other.
"""

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import measure

WORKER_KEYS = ("peak_rss_bytes", "pss_bytes")


def between_marks(sizes: Iterable[int], first: int, last: int) -> dict[str, Any]:
    """Count delivered samples, batch by batch, to `last`; the costs are those after `first`."""
    counted, begun, started = 0, 0, (0.0, 0.0)
    for size in sizes:
        counted += size
        if not begun and counted >= first:
            begun, started = counted, (tree_cpu_seconds(), time.perf_counter())
        elif counted >= last:
            cpu, wall = tree_cpu_seconds() - started[0], time.perf_counter() - started[1]
            return {
                "samples": counted - begun,
                "cpu_seconds": cpu,
                "wall_seconds": wall,
                "workers": [
                    worker_memory(child.pid) for child in multiprocessing.active_children()
                ],
            }
    raise ValueError(f"the loader ended after {counted} samples, before the mark at {last}")


def endless(make: Callable[[], Iterable[int]]) -> Iterator[int]:
    """One epoch after the other."""
    while True:
        empty = True
        for size in make():
            empty = False
            yield size
        if empty:
            raise ValueError("the loader gave nothing")


def tree_cpu_seconds() -> float:
    """User and system time of this process and of those below it, so far."""
    below = measure.descendants(os.getpid())
    return time.process_time() + sum(process.cpu_seconds for process in below.values())


def worker_memory(pid: int | None) -> dict[str, int]:
    """A worker's largest resident size so far, and its share with shared pages divided, now."""
    assert pid is not None, "a started process has an id"
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    return dict(zip(WORKER_KEYS, (1024 * peak, measure.pss_bytes(pid)), strict=True))


def seconds_to_first(make: Callable[[], Iterable[Any]]) -> float:
    """Wall seconds from the call that makes a loader to its first batch."""
    started = time.perf_counter()
    next(iter(make()))
    return time.perf_counter() - started


def write_report(path: str, report: Any) -> None:
    """For the process that asked."""
    Path(path).write_text(json.dumps(report))
