"""CPU seconds of everything below this process, daemons included, by looking at /proc.

`getrusage` counts only children that somebody waited for; Ray's workers are not among them. So a
thread notes the CPU time of every descendant twice a second, and a process counts with what was
last seen of it. Orphans stay below this process because it asks to adopt them (prctl(2)).
Linux only: elsewhere the reading is 0.
"""

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
INTERVAL_SECONDS = 0.5
PROC = Path("/proc")


class CpuClock:
    """Filled when the block of `cpu_of_descendants` ends."""

    seconds: float = 0.0


@contextmanager
def cpu_of_descendants() -> Iterator[CpuClock]:
    """CPU seconds that processes below this one spend while the block runs."""
    clock, stop = CpuClock(), threading.Event()
    if sys.platform != "linux":
        yield clock
        return
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    before = read_tree(os.getpid())
    seen = dict(before)

    def watch() -> None:
        while not stop.wait(INTERVAL_SECONDS):
            seen.update(read_tree(os.getpid()))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield clock
    finally:
        stop.set()
        watcher.join()
        seen.update(read_tree(os.getpid()))
        clock.seconds = sum(seen.values()) - sum(before.values())


def read_tree(root: int) -> dict[tuple[int, int], float]:
    """(pid, start time) → CPU seconds so far, for every process below `root`."""
    ticks = os.sysconf("SC_CLK_TCK")
    children: dict[int, list[int]] = {}
    seconds: dict[int, tuple[int, float]] = {}
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        # proc(5): after the name come state, ppid …; utime is field 14, stime 15, starttime 22.
        pid = int(entry.name)
        children.setdefault(int(fields[1]), []).append(pid)
        seconds[pid] = int(fields[19]), (int(fields[11]) + int(fields[12])) / ticks
    found, waiting = {}, list(children.get(root, []))
    while waiting:
        pid = waiting.pop()
        waiting.extend(children.get(pid, []))
        started, spent = seconds[pid]
        found[pid, started] = spent
    return found
