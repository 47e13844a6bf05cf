"""CPU seconds, wall seconds and memory of a command and of every process below it.

    run_measured(command) → python measure.py REPORT LOG -- command… → Usage

The command runs below a process of its own that adopts orphans (PR_SET_CHILD_SUBREAPER), so that
daemons which outlive their parents stay in the tree. CPU is counted twice, and the larger count is
taken: what the kernel sums up of children that were waited for, and what /proc said last of every
process seen. Neither alone is whole: a parent that ignores SIGCHLD (as Ray's raylet may) makes the
kernel forget its children, and sampling misses the last instants of a process.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from diagonal_infra.errors import DiagonalError

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
SAMPLE_SECONDS = 0.1
PSS_EVERY = 10
"""Samples per reading of PSS, which walks page tables and takes the process's lock."""
ORPHAN_SECONDS = 10.0
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What one run of a command took, its whole process tree included."""

    wall_seconds: float
    cpu_seconds: float
    """User and system time: the larger of the next two."""
    waited_cpu_seconds: float
    sampled_cpu_seconds: float
    server_cpu_seconds: float
    """Of the server that was talked to; not part of `cpu_seconds`."""
    max_rss_bytes: int
    """Largest resident size of any one process at any sample."""
    max_rss_process: str
    max_pss_bytes: int
    """The same with shared pages divided among those who share them."""
    processes: int
    """Seen in the tree over the run."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process at one moment."""

    parent: int
    name: str
    cpu_seconds: float
    rss_bytes: int


def run_measured(
    command: Sequence[str],
    folder: Path,
    *,
    server_pid: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Usage:
    """Run to the end; its output goes to `folder`/log.txt.

    Raises:
        DiagonalError: the command failed; the message ends with the last lines it printed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report, log = folder / "usage.json", folder / "log.txt"
    report.unlink(missing_ok=True)
    before = server_cpu_seconds(server_pid)
    wrapper = [sys.executable, __file__, str(report), str(log), "--", *command]
    done = subprocess.run(wrapper, env={**os.environ, **(environment or {})}, check=False)
    if done.returncode or not report.is_file():
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise DiagonalError(f"{' '.join(command)[:300]} exited {done.returncode}; {log}:\n{tail}")
    served = server_cpu_seconds(server_pid) - before
    return Usage(**json.loads(report.read_text()), server_cpu_seconds=round(served, 3))


def server_cpu_seconds(pid: int | None) -> float:
    """CPU seconds of one running process so far; 0 for none."""
    process = None if pid is None else _read_process(pid)
    return process.cpu_seconds if process else 0.0


def die_with_parent() -> None:
    """This process gets SIGTERM when the one that started it ends; also for `preexec_fn`."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _read_process(pid: int) -> Process | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    name, _, rest = stat.partition("(")[2].rpartition(")")
    fields = rest.split()  # proc(5) counts from 1 and the state, field 3, is the first here
    return Process(
        parent=int(fields[1]),
        name=name,
        cpu_seconds=(int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND,
        rss_bytes=int(fields[21]) * PAGE_BYTES,
    )


def descendants(root: int) -> dict[int, Process]:
    """The processes below one, by id; not itself."""
    pids = [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]
    alive = {pid: found for pid in pids if (found := _read_process(pid))}
    children: dict[int, list[int]] = {}
    for pid, process in alive.items():
        children.setdefault(process.parent, []).append(pid)
    found, waiting = {}, list(children.get(root, []))
    while waiting:
        pid = waiting.pop()
        found[pid] = alive[pid]
        waiting.extend(children.get(pid, []))
    return found


def pss_bytes(pid: int) -> int:
    """A process's memory, shared pages divided among those who share them; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


@dataclass
class _Sampler:
    """Reads the tree below this process until told to stop."""

    cpu_seconds: dict[int, float] = field(default_factory=dict)
    max_rss: tuple[int, str] = (0, "")
    max_pss: int = 0
    samples: int = 0

    def sample(self) -> None:
        tree = descendants(os.getpid())
        for pid, process in tree.items():
            self.cpu_seconds[pid] = process.cpu_seconds
            self.max_rss = max(self.max_rss, (process.rss_bytes, process.name))
        if self.samples % PSS_EVERY == 0:
            self.max_pss = max([self.max_pss, *map(pss_bytes, tree)])
        self.samples += 1

    def run(self, ended: threading.Event) -> None:
        while not ended.wait(SAMPLE_SECONDS):
            self.sample()


def _wait_for_orphans() -> None:
    """Reap what the command left behind; what stays for too long is killed."""
    deadline = time.monotonic() + ORPHAN_SECONDS
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid:
            continue
        if time.monotonic() > deadline:
            for orphan in descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(orphan, signal.SIGKILL)
        time.sleep(SAMPLE_SECONDS)


def main(report: Path, log: Path, command: Sequence[str]) -> int:
    """The wrapper: run, sample, reap, report."""
    die_with_parent()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    sampler, ended = _Sampler(), threading.Event()
    thread = threading.Thread(target=sampler.run, args=(ended,))
    with log.open("wb") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, preexec_fn=die_with_parent
        )
        thread.start()
        code = process.wait()
        wall = time.perf_counter() - started
    _wait_for_orphans()
    ended.set()
    thread.join()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    waited, sampled = usage.ru_utime + usage.ru_stime, sum(sampler.cpu_seconds.values())
    record = asdict(
        Usage(
            wall_seconds=round(wall, 3),
            cpu_seconds=round(max(waited, sampled), 3),
            waited_cpu_seconds=round(waited, 3),
            sampled_cpu_seconds=round(sampled, 3),
            server_cpu_seconds=0.0,
            max_rss_bytes=sampler.max_rss[0],
            max_rss_process=sampler.max_rss[1],
            max_pss_bytes=sampler.max_pss,
            processes=len(sampler.cpu_seconds),
        )
    )
    del record["server_cpu_seconds"]
    report.write_text(json.dumps(record))
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[4:]))
