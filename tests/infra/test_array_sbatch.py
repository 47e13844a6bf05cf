"""infra/slurm/array.sbatch: shards by independent tasks, on a real Slurm."""

import dataclasses
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.slurm_cluster import SlurmCluster, wait_for

from diagonal_data.manifest import read_manifest
from diagonal_data.schema import candidate_for, candidates_table
from diagonal_infra import slurm
from diagonal_infra.errors import UserError
from diagonal_infra.profile import Nodes, Profile, SlurmSettings
from diagonal_infra.shape import plan_shape
from diagonal_infra.slurm_script import Job, plan_job
from diagonal_infra.stages import resolve
from diagonal_infra.work import Work

QUICK = 0.1
COUNT = 16


def array(folder: Path, nodes: int, recipe: str, *flags: str, python: str | None = None) -> Job:
    """The array that builds a dataset."""
    profile = Profile(
        python=python,
        cpu_nodes=Nodes(cpus=1),
        slurm=SlurmSettings(array=True, time_limit="5", logs=str(folder / "logs")),
    )
    work = Work(
        target="shards",
        stage=(recipe, *flags),
        profile=profile,
        shape=plan_shape("shards", profile, nodes, None),
        resolved=resolve("shards", recipe, flags),
    )
    return plan_job(work)


def stand_in(folder: Path, body: str) -> str:
    """A program in the stage's place, which is given the stage's words."""
    python = folder / "python"
    python.write_text(f"#!/bin/bash\n{body}\n")
    python.chmod(0o755)
    return str(python)


def tars(dataset: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in dataset.glob("shards/*.tar")}


@pytest.fixture
def flags(tmp_path: Path, small_web, make_jpeg) -> tuple[str, ...]:
    """Of shards, but for the dataset's folder."""
    urls = [small_web.add(f"/{i}.jpg", make_jpeg(i)) for i in range(COUNT)]
    candidates = [candidate_for(url, f"picture {url}") for url in urls]
    pq.write_table(candidates_table(candidates), tmp_path / "c.parquet")
    near = ("--image-size", "32", "--samples-per-shard", "4", "--allow-hosts", small_web.host)
    return ("--local", "--candidates", str(tmp_path / "c.parquet"), *near)


def test_tasks_build_the_whole_though_one_is_killed_and_requeued(
    slurm_here: SlurmCluster, tmp_path: Path, small_web, flags: tuple[str, ...]
) -> None:
    whole = array(tmp_path, 1, "web", *flags, "--dataset", str(tmp_path / "whole"))
    assert slurm.follow(whole, slurm.submit(whole), poll_seconds=QUICK) == "COMPLETED"
    # The second shard, of task 2, cannot be finished before it is requeued.
    small_web.asked.clear()
    small_web.held["/5.jpg"] = threading.Event()
    job = array(tmp_path, 2, "web", *flags, "--dataset", str(tmp_path / "d"))
    job_id = slurm.submit(job)
    with pytest.raises(UserError, match=rf"job {job_id} \(.*\) already makes .*{job_id}_\*\.log"):
        slurm.submit(job)
    log = Path(job.log_path(f"{job_id}_2"))
    wait_for(lambda: "/5.jpg" in small_web.asked, log)
    slurm_here.ask("scontrol", "requeue", f"{job_id}_2")
    small_web.held.pop("/5.jpg").set()
    wait_for(lambda: slurm.states_of(job_id, {})[f"{job_id}_1"] == "COMPLETED", log)
    assert {"00000000.tar", "00000002.tar"} <= tars(tmp_path / "d").keys()
    wait_for(lambda: "PENDING" in slurm.states_of(job_id, {})[f"{job_id}_2"], log)
    # Else it would wait for two minutes.
    slurm_here.ask("scontrol", "update", f"JobId={job_id}_2", "StartTime=now+2")
    assert slurm.follow(job, job_id, poll_seconds=QUICK) == "COMPLETED"
    assert tars(tmp_path / "d") == tars(tmp_path / "whole")
    parts = [read_manifest(str(tmp_path / name))["shards"] for name in ("d", "whole")]
    assert parts[0] == parts[1]
    assert len(parts[0]) == COUNT // 4


def test_tasks_run_at_the_same_time_and_a_second_array_waits(
    slurm_here: SlurmCluster, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # Each ends only when it has seen the other.
    seen = f"[ -e {tmp_path}/1/2 ] && [ -e {tmp_path}/2/2 ]"
    meets = f"mkdir -p {tmp_path}/${{@: -1}}; until {seen}"
    python = stand_in(tmp_path, f"{meets}; do sleep 0.1; done; echo met as ${{@: -1}}")
    job = array(tmp_path, 2, "web", "--dataset", "d", python=python)
    first = slurm.submit(job)
    # Two that are handed in at the same instant both find the queue empty.
    second = slurm_here.ask("sbatch", "--parsable", job.script_path)
    waiting = {"PENDING (Dependency)"}
    log = Path(job.log_path(f"{first}_1"))
    wait_for(lambda: set(slurm.states_of(second, {}).values()) == waiting, log)
    assert slurm.follow(job, first, poll_seconds=QUICK) == "COMPLETED"
    out = capfd.readouterr().out
    assert f"task {first}_1:\nmet as 1/2\n" in out
    assert f"task {first}_2:\nmet as 2/2\n" in out


def test_a_task_that_fails_is_not_forgotten(slurm_here: SlurmCluster, tmp_path: Path) -> None:
    python = stand_in(tmp_path, "[ ${@: -1} = 1/2 ]")
    job = array(tmp_path, 2, "web", "--dataset", "d", python=python)
    assert slurm.follow(job, slurm.submit(job), poll_seconds=QUICK) == "FAILED"


def test_a_task_is_told_before_the_limit_and_queues_itself_again(
    slurm_here: SlurmCluster, tmp_path: Path
) -> None:
    python = stand_in(tmp_path, f"echo >>{tmp_path}/started; sleep 60")
    job = array(tmp_path, 1, "web", "--dataset", "d", python=python)
    job_id = slurm.submit(job)
    log = Path(job.log_path(f"{job_id}_1"))
    wait_for((tmp_path / "started").exists, log)
    slurm_here.ask("scancel", "--signal=USR1", "--batch", f"{job_id}_1")
    wait_for(lambda: "PENDING" in slurm.states_of(job_id, {})[f"{job_id}_1"], log)
    assert slurm_here.job(f"{job_id}_1")["Restarts"] == "1"


def test_other_stages_are_no_arrays(tmp_path: Path) -> None:
    profile = Profile(cpu_nodes=Nodes(cpus=1), slurm=SlurmSettings(array=True))
    work = Work(
        target="reshard",
        stage=("demo",),
        profile=profile,
        shape=plan_shape("reshard", profile, 2, None),
        resolved={"output": "out/d"},
    )
    assert "symmetric-run" in plan_job(work).script
    as_shards = plan_job(dataclasses.replace(work, target="shards")).script
    assert "#SBATCH --array=1-2\n" in as_shards
    assert '--workers 1 --part "$SLURM_ARRAY_TASK_ID/2" &' in as_shards
    assert "symmetric-run" not in as_shards
