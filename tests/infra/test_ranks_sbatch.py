"""infra/slurm/ranks.sbatch, signals and exit codes: on a real Slurm, with ranks of shell script."""

from pathlib import Path

import pytest
from tests.slurm_cluster import SlurmCluster, wait_for

from diagonal_infra import slurm
from diagonal_infra.profile import Nodes, Profile, SlurmSettings
from diagonal_infra.shape import plan_shape
from diagonal_infra.slurm_script import Job, plan_job
from diagonal_infra.work import Work

QUICK = 0.1


def training(
    folder: Path, rank: str, *, finished: str = "false", trap: str = "", **settings: int | str
) -> Job:
    """Two ranks, of the shell commands `rank`; each start writes a line to FOLDER/starts."""
    python = folder / "python"
    python.write_text(
        f"#!/bin/bash\nif [ $2 = diagonal_train.finished ]; then {finished}; exit; fi\n"
        f'{trap}\necho "$SLURM_PROCID" >>{folder}/starts\n{rank}\n'
    )
    python.chmod(0o755)
    profile = Profile(
        workdir=str(folder),
        python=str(python),
        gpu_nodes=Nodes(cpus=1),
        slurm=SlurmSettings(**{"time_limit": "5", "logs": ".", **settings}),
    )
    work = Work(
        target="train",
        stage=("tiny",),
        profile=profile,
        shape=plan_shape("train", profile, 2, None),
        resolved={"run": "run"},
        max_restarts=2,
    )
    return plan_job(work)


def starts(folder: Path) -> int:
    path = folder / "starts"
    return len(path.read_text().split()) if path.exists() else 0


@pytest.mark.parametrize(
    ("rank", "finished", "state", "started"),
    [
        ("exit 0", "true", "COMPLETED", 2),
        ("kill -ABRT $$", "true", "COMPLETED", 2),
        ("exit 0", "false", "FAILED", 6),
        ("exit $((SLURM_PROCID * 86))", "false", "FAILED", 6),
        ("exit 2", "false", "FAILED", 2),
    ],
    ids=["done", "aborted_behind_the_last_step", "left_early", "hung", "users_mistake"],
)
def test_the_checkpoint_decides_and_what_may_help_is_tried_again(
    slurm_here: SlurmCluster, tmp_path: Path, rank: str, finished: str, state: str, started: int
) -> None:
    job = training(tmp_path, rank, finished=finished)
    assert slurm.follow(job, slurm.submit(job), poll_seconds=QUICK) == state
    assert starts(tmp_path) == started


def test_ranks_that_stopped_are_queued_again_no_more_often_than_allowed(
    slurm_here: SlurmCluster, tmp_path: Path
) -> None:
    job = training(tmp_path, "exit 143", max_requeues=0)
    job_id = slurm.submit(job)
    assert slurm.follow(job, job_id, poll_seconds=QUICK) == "FAILED"
    assert (starts(tmp_path), slurm_here.job(job_id)["Restarts"]) == (2, "0")


def test_ranks_are_told_before_the_limit_and_the_job_is_queued_again(
    slurm_here: SlurmCluster, tmp_path: Path
) -> None:
    saves = f"trap 'echo saved >>{tmp_path}/saved; exit 143' USR1"
    # Slurm counts limits in minutes.
    job = training(tmp_path, "sleep 60 & wait", trap=saves, time_limit="1", notice_seconds=50)
    job_id = slurm.submit(job)
    log = Path(job.log_path(job_id))
    wait_for(lambda: slurm_here.job(job_id)["Reason"] == "BeginTime", log)
    assert (tmp_path / "saved").read_text() == "saved\nsaved\n"
    assert (starts(tmp_path), slurm_here.job(job_id)["Restarts"]) == (2, "1")


def test_a_job_that_is_cancelled_saves_and_does_not_come_back(
    slurm_here: SlurmCluster, tmp_path: Path
) -> None:
    saves = f"trap 'echo saved >>{tmp_path}/saved; exit 143' TERM"
    job = training(tmp_path, "sleep 60 & wait", trap=saves)
    job_id = slurm.submit(job)
    wait_for(lambda: starts(tmp_path) == 2, Path(job.log_path(job_id)))
    slurm_here.ask("scancel", job_id)
    assert slurm.follow(job, job_id, poll_seconds=QUICK) == "CANCELLED"
    wait_for(lambda: not slurm_here.ask("squeue", "--noheader"), Path(job.log_path(job_id)))
    assert (tmp_path / "saved").read_text() == "saved\nsaved\n"
    assert (starts(tmp_path), slurm_here.job(job_id)["Restarts"]) == (2, "0")
