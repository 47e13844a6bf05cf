"""Slurm's own commands: hand in a job once, follow it to its end.

    live_job ─► test ─► submit ─► follow: the log as it grows, then the job's last state

Following asks `scontrol` every few seconds. Breaking it off (Ctrl-C) leaves the job alone.
"""

import logging
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
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
    command = ["squeue", "--me", "--noheader", f"--name={job.name}", "--format=%i %T"]
    listed = _asked(command).splitlines()
    if listed:
        job_id, _, state = listed[0].partition(" ")
        raise UserError(
            f"job {job_id} ({state}) already makes {job.results}; read {job.log_path(job_id)}, or "
            f"end it with 'scancel {job_id}'"
        )


def follow(job: Job, job_id: str, *, poll_seconds: float = POLL_SECONDS) -> str:
    """Show the job's log as it grows and its states as they change; the last state.

    Raises:
        UserError: the job could never start; it is taken out of the queue.
        DiagonalError: Slurm does not answer.
    """
    log, shown, last = Path(job.log_path(job_id)), 0, ""
    try:
        while True:
            state = state_of(job_id)
            if state != last:
                logger.info("job=%s state=%s", job_id, state)
            shown, last = _show(log, shown), state
            if state in OVER:
                return state
            refuse_stuck(job_id, state)
            time.sleep(poll_seconds)
    except KeyboardInterrupt:
        logger.info("job=%s goes on; 'scancel %s' ends it, log=%s", job_id, job_id, log)
        raise


def refuse_stuck(job_id: str, state: str) -> None:
    """A job whose turn never comes is taken out of the queue.

    Raises:
        UserError: this is one.
    """
    reason = state.removeprefix("PENDING (").removesuffix(")")
    if reason in STUCK:
        _asked(["scancel", job_id])
        raise UserError(
            f"job {job_id} would wait for ever: {reason}; it was taken out of the queue. Change "
            "the profile's [slurm] or --nodes to what 'scontrol show partition' allows"
        )


def state_of(job_id: str) -> str:
    """`RUNNING`, or `PENDING (Resources)`; a job that Slurm has forgotten is `COMPLETED`."""
    done = _run(["scontrol", "show", "job", "--oneliner", job_id])
    if "Invalid job id" in done.stderr:
        return "COMPLETED"
    if done.returncode:
        raise DiagonalError(f"scontrol does not know job {job_id}: {done.stderr.strip()}")
    fields = dict(re.findall(r"(\w+)=(\S+)", done.stdout))
    waits = fields["JobState"] == "PENDING"
    return f"PENDING ({fields['Reason']})" if waits else fields["JobState"]


def _show(log: Path, shown: int) -> int:
    """Write what the log has beyond `shown` bytes to stdout; how many it has."""
    if not log.exists():
        return shown
    with log.open("rb") as file:
        file.seek(shown)
        news = file.read()
    sys.stdout.buffer.write(news)
    sys.stdout.flush()
    return shown + len(news)


def _asked(command: Sequence[str]) -> str:
    done = _run(command)
    if done.returncode:
        raise DiagonalError(f"{command[0]} failed: {done.stderr.strip()}")
    return done.stdout


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)
