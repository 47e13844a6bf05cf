"""Slurm's own commands: hand in a job once, follow it to its end.

    refuse_second ─► test ─► submit ─► follow: the log as it grows, then the job's last state

An array has a log and a state for each task. Following asks `squeue` every few seconds. Breaking it
off (Ctrl-C) leaves the job alone.
"""

import logging
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from diagonal_infra import storage
from diagonal_infra.errors import DiagonalError, UserError
from diagonal_infra.slurm_script import Job

POLL_SECONDS = 5.0
OVER = {
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "REVOKED",
    "TIMEOUT",
}
"""States that a job does not leave by itself."""
STUCK = {
    "AccountNotAllowed",
    "AssocMaxWallDurationPerJobLimit",
    "BadConstraints",
    "InvalidAccount",
    "InvalidQOS",
    "PartitionNodeLimit",
    "PartitionTimeLimit",
    "QOSNotAllowed",
}
"""Reasons for waiting that stay until a person changes something."""
NO_TASK = "N/A"
"""What squeue calls the task of a job that is no array."""
logger = logging.getLogger(__name__)


def submit(job: Job) -> str:
    """Hand the job in, unless it is in the queue already; its id.

    Raises:
        UserError: Slurm is not here, has the job already, or refuses it.
        DiagonalError: Slurm does not answer.
    """
    if shutil.which("sbatch") is None:
        raise UserError("no sbatch on this machine; launch from a login node of the cluster")
    refuse_second(job)
    storage.check_writable(job.folder)
    storage.write_bytes(job.script_path, job.script.encode())
    # Before it waits in a queue: nodes, partition and limits must be such that it can ever start.
    for options in (["--test-only"], ["--parsable"]):
        done = _run(["sbatch", *options, job.script_path])
        if done.returncode:
            raise UserError(f"sbatch refuses {job.script_path}: {done.stderr.strip()}")
    return done.stdout.strip().partition(";")[0]


def refuse_second(job: Job) -> None:
    """A job of the same stage and results, waiting or running, is not handed in again.

    Raises:
        UserError: there is one.
        DiagonalError: Slurm does not answer.
    """
    command = ["squeue", "--me", "--noheader", f"--name={job.name}", "--format=%F %K %T"]
    listed = _asked(command).splitlines()
    if listed:
        job_id, task, state = listed[0].split(maxsplit=2)
        log = job.log_path(job_id if task == NO_TASK else f"{job_id}_*")
        raise UserError(
            f"job {job_id} ({state}) already makes {job.results}; read {log}, or end it with "
            f"'scancel {job_id}'"
        )


def follow(job: Job, job_id: str, *, poll_seconds: float = POLL_SECONDS) -> str:
    """Show the job's log as it grows and its states as they change; the last state.

    Of an array's tasks, that of one which did not complete, if there is one.

    Raises:
        UserError: the job could never start; it is taken out of the queue.
        DiagonalError: Slurm does not answer.
    """
    states: dict[str, str] = {}
    shown: Counter[str] = Counter()
    last = ""
    try:
        while True:
            states = states_of(job_id, states)
            state = summary(states.values())
            if state != last:
                logger.info("job=%s state=%s", job_id, state)
            last = state
            for each in states:
                shown[each] += _show(each, Path(job.log_path(each)), shown[each])
            if all(each in OVER for each in states.values()):
                return next((each for each in states.values() if each != "COMPLETED"), "COMPLETED")
            refuse_stuck(job_id, states.values())
            time.sleep(poll_seconds)
    except KeyboardInterrupt:
        logger.info("job=%s goes on; 'scancel %s' ends it", job_id, job_id)
        raise


def refuse_stuck(job_id: str, states: Iterable[str]) -> None:
    """A job whose turn never comes is taken out of the queue.

    Raises:
        UserError: this is one.
    """
    reasons = {state.removeprefix("PENDING (").removesuffix(")") for state in states}
    for reason in sorted(reasons & STUCK):
        _asked(["scancel", job_id])
        raise UserError(
            f"job {job_id} would wait for ever: {reason}; it was taken out of the queue. Change "
            "the profile's [slurm] or --nodes to what 'scontrol show partition' allows"
        )


def states_of(job_id: str, before: Mapping[str, str]) -> dict[str, str]:
    """`RUNNING`, or `PENDING (Resources)`, of the job, or of each task of an array by its id.

    What Slurm has forgotten since `before` is over: it is `COMPLETED` unless it was seen to fail.
    """
    asked = ["squeue", "--noheader", "--array", "--states=all", f"--jobs={job_id}"]
    done = _run([*asked, "--format=%i %T %r"])
    if done.returncode and "Invalid job id" not in done.stderr:
        raise DiagonalError(f"squeue does not tell of job {job_id}: {done.stderr.strip()}")
    found = {}
    for line in done.stdout.splitlines():
        name, state, reason = line.split(maxsplit=2)
        found[name] = f"PENDING ({reason})" if state == "PENDING" else state
    if not before:
        return found or {job_id: "COMPLETED"}
    forgotten = {name: was if was in OVER else "COMPLETED" for name, was in before.items()}
    return forgotten | found


def summary(states: Iterable[str]) -> str:
    """`RUNNING`; of several tasks `2 COMPLETED, 6 RUNNING`."""
    counts = Counter(states)
    if counts.total() == 1:
        return next(iter(counts))
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))


def _show(name: str, log: Path, shown: int) -> int:
    """Write what the log has beyond `shown` bytes to stdout, and of which task; how many it was."""
    if not log.exists():
        return 0
    with log.open("rb") as file:
        file.seek(shown)
        news = file.read()
    if news and "_" in name:
        sys.stdout.write(f"task {name}:\n")
    # Through one writer, in order.
    sys.stdout.flush()
    sys.stdout.buffer.write(news)
    sys.stdout.flush()
    return len(news)


def _asked(command: Sequence[str]) -> str:
    done = _run(command)
    if done.returncode:
        raise DiagonalError(f"{command[0]} failed: {done.stderr.strip()}")
    return done.stdout


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)
