"""Stages on a real Slurm: training that is stopped, killed and requeued; a stage on Ray."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.slurm_cluster import WAIT_SECONDS, SlurmCluster, wait_for

Read = Callable[[Path | str], list[dict[str, Any]]]
RunRanks = Callable[..., None]
STEPS = 250
PROFILE = """\
[environment]
OMP_NUM_THREADS = "1"
[gpu_nodes]
cpus = 1
most = 2
[slurm]
logs = "{folder}/logs"
time_limit = "10"
"""
RAY_PROFILE = """\
[environment]
RAY_TMPDIR = "{ray}"
[cpu_nodes]
cpus = 2
[slurm]
logs = "{folder}/logs"
time_limit = "10"
"""


def stage_flags(dataset: Path, run: Path) -> list[str]:
    places = ["--data", str(dataset), "--filter", "most", "--run", str(run)]
    return [*places, "--samples-seen", str(16 * STEPS), "--checkpoint.every-steps", "50"]


@contextmanager
def launched(
    cluster: SlurmCluster, folder: Path, profile: str, launch: list[str], stage: list[str]
) -> Iterator[subprocess.Popen[str]]:
    """`launch`, following; what it says goes to FOLDER/launch.log."""
    (folder / "cluster.toml").write_text(profile)
    where = ["--on", "slurm", "--profile", str(folder / "cluster.toml")]
    command = [sys.executable, "-m", "diagonal_infra.launch", *launch, *where, "--args", *stage]
    with (folder / "launch.log").open("w") as log:
        process = subprocess.Popen(
            command, env=os.environ | cluster.environment, stdout=log, stderr=log, text=True
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def steps_done(run: Path) -> int:
    path = run / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def more_steps(run: Path, said: Path) -> None:
    """Return when the run has gone on beyond where it stands, which it may have to do again."""
    before = steps_done(run)
    wait_for(lambda: steps_done(run) > before + 20, said)


def start_again(cluster: SlurmCluster, job_id: str, said: Path) -> None:
    """Have a requeued job start soon; Slurm would wait two minutes.

    Not in the same second: a node refuses a job that it was told to end, by the clock's seconds.
    """
    wait_for(lambda: cluster.job(job_id)["JobState"] == "PENDING", said)
    cluster.ask("scontrol", "update", f"JobId={job_id}", "StartTime=now+3")


def rank_process(run: Path, rank: int) -> int | None:
    """The process id of a rank that trains into `run`."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = (
                (entry / name).read_bytes().split(b"\0") for name in ("cmdline", "environ")
            )
        except OSError:
            continue
        trains = command[1:3] == [b"-m", b"diagonal_train"] and str(run).encode() in command
        if trains and f"SLURM_PROCID={rank}".encode() in environment:
            return int(entry.name)
    return None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_job_that_is_stopped_killed_and_requeued_ends_as_if_undisturbed(
    slurm_cluster: SlurmCluster,
    dataset: Path,
    tmp_path: Path,
    run_ranks: RunRanks,
    read_metrics: Read,
) -> None:
    run, said = tmp_path / "run", tmp_path / "launch.log"
    profile, flags = PROFILE.format(folder=tmp_path), stage_flags(dataset, run)
    train = ["train", "--recipe", "tiny", "--nodes", "2", "--max-restarts", "1"]
    with launched(slurm_cluster, tmp_path, profile, train, flags) as launch:
        wait_for(lambda: steps_done(run) > 20, said)
        job_id = slurm_cluster.ask("squeue", "--noheader", "--format=%i")
        # What Slurm itself sends before the limit: to the ranks, not to the script.
        slurm_cluster.ask("scancel", "--signal=USR1", job_id)
        start_again(slurm_cluster, job_id, said)
        more_steps(run, said)
        killed = rank_process(run, 1)
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: rank_process(run, 1) not in (None, killed), said)
        more_steps(run, said)
        slurm_cluster.ask("scontrol", "requeue", job_id)
        start_again(slurm_cluster, job_id, said)
        assert steps_done(run) < STEPS
        assert launch.wait(WAIT_SECONDS) == 0, said.read_text()
    job = slurm_cluster.job(job_id)
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "2")
    whole = tmp_path / "whole"
    run_ranks(["-m", "diagonal_train", "tiny", *stage_flags(dataset, whole)], 2)
    disturbed, undisturbed = (
        [(line["step"], line["loss"]) for line in read_metrics(each)] for each in (run, whole)
    )
    assert len(undisturbed) == STEPS
    assert disturbed == undisturbed


@pytest.mark.ray
def test_a_stage_on_a_ray_cluster_of_its_own_is_requeued_and_finished(
    slurm_cluster: SlurmCluster, dataset: Path, tmp_path: Path
) -> None:
    said = tmp_path / "launch.log"
    stage = ["--dataset", str(dataset), "--filter", "most", "--output", str(tmp_path / "out")]
    # Ray's sockets need a short path.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as ray_folder:
        profile = RAY_PROFILE.format(folder=tmp_path, ray=ray_folder)
        with launched(slurm_cluster, tmp_path, profile, ["reshard"], stage) as launch:
            wait_for(lambda: "On head node. Starting Ray" in said.read_text(), said)
            job_id = slurm_cluster.ask("squeue", "--noheader", "--format=%i")
            # What Slurm itself sends before the limit: to the script.
            slurm_cluster.ask("scancel", "--batch", "--signal=USR1", job_id)
            start_again(slurm_cluster, job_id, said)
            assert launch.wait(WAIT_SECONDS) == 0, said.read_text()
    job = slurm_cluster.job(job_id)
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1")
    assert (tmp_path / "out" / "manifest.json").exists()
    assert not list((tmp_path / "logs").glob("*.done"))
