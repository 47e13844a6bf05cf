"""Against a real Slurm: what is handed in, refused, followed."""

import logging
import os
from pathlib import Path

import pytest
from tests.slurm_cluster import SlurmCluster

from diagonal_infra import slurm
from diagonal_infra.errors import DiagonalError, UserError
from diagonal_infra.launch import LaunchConfig, main
from diagonal_infra.slurm_script import Job

QUICK = 0.1
PROFILE = """\
gpu_nodes = {{ cpus = 1 }}
cpu_nodes = {{ cpus = 2 }}
slurm = {{ logs = "{folder}/logs", time_limit = "5" }}
"""


def job(folder: Path, body: str, *options: str, name: str = "train-x-123456") -> Job:
    """A job of one's own script."""
    own = (f"--job-name={name}", f"--output={folder}/{name}-%j.log", *options)
    lines = ["#!/usr/bin/env bash", *(f"#SBATCH {each}" for each in own), body, ""]
    return Job(name=name, script="\n".join(lines), folder=str(folder), results="out/run")


def waits_for(path: Path) -> str:
    """A script that ends once there is such a file."""
    return f"until [ -e {path} ]; do sleep 0.1; done; echo went on"


def test_a_job_is_followed_to_its_end(
    slurm_here: SlurmCluster, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mine = job(tmp_path, "echo one; echo two", name="train-follow-1")
    job_id = slurm.submit(mine)
    assert slurm.follow(mine, job_id, poll_seconds=QUICK) == "COMPLETED"
    assert capfd.readouterr().out == "one\ntwo\n"


def test_a_job_that_fails_says_so(slurm_here: SlurmCluster, tmp_path: Path) -> None:
    mine = job(tmp_path, "exit 3", name="train-fail-1")
    assert slurm.follow(mine, slurm.submit(mine), poll_seconds=QUICK) == "FAILED"


def test_a_job_of_the_same_results_is_not_handed_in_twice(
    slurm_here: SlurmCluster, tmp_path: Path
) -> None:
    mine = job(tmp_path, waits_for(tmp_path / "go"), name="train-twice-1")
    job_id = slurm.submit(mine)
    with pytest.raises(UserError, match=f"job {job_id} .* already makes out/run.*scancel {job_id}"):
        slurm.submit(mine)
    (tmp_path / "go").touch()
    slurm.follow(mine, job_id, poll_seconds=QUICK)
    assert slurm.submit(mine) != job_id


@pytest.mark.parametrize("option", ["--nodes=3", "--partition=nowhere", "--gres=gpu:8"])
def test_what_the_cluster_can_never_start_is_refused_at_once(
    slurm_here: SlurmCluster, tmp_path: Path, option: str
) -> None:
    mine = job(tmp_path, "true", option, name="train-never-1")
    with pytest.raises(UserError, match="sbatch refuses"):
        slurm.submit(mine)
    assert slurm_here.ask("squeue", "--noheader") == ""


def test_a_job_that_would_wait_for_ever_is_taken_out_of_the_queue(
    slurm_here: SlurmCluster, tmp_path: Path
) -> None:
    mine = job(tmp_path, "true", "--time=2-0", name="train-ever-1")
    job_id = slurm.submit(mine)
    with pytest.raises(UserError, match=f"job {job_id} would wait for ever: PartitionTimeLimit"):
        slurm.follow(mine, job_id, poll_seconds=QUICK)
    assert slurm_here.job(job_id)["JobState"] == "CANCELLED"


def test_a_controller_that_does_not_answer_is_named(
    slurm_here: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Path(slurm_here.environment["SLURM_CONF"]).read_text().splitlines()
    wrong = tmp_path / "slurm.conf"
    wrong.write_text("\n".join([*config, "MessageTimeout=1", "SlurmctldPort=9", ""]))
    monkeypatch.setenv("SLURM_CONF", str(wrong))
    with pytest.raises(DiagonalError, match="squeue failed"):
        slurm.submit(job(tmp_path, "true"))


def test_a_machine_without_slurm_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="launch from a login node"):
        slurm.submit(job(tmp_path, "true"))


def launch_config(folder: Path, target: str, **changes: object) -> LaunchConfig:
    (folder / "cluster.toml").write_text(PROFILE.format(folder=folder))
    profile = str(folder / "cluster.toml")
    return LaunchConfig(target=target, on="slurm", profile=profile, **changes)  # pyright: ignore[reportArgumentType]  # test shorthand


def test_a_dry_launch_prints_the_script_and_hands_nothing_in(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.path.dirname("/bin/sh"))  # noqa: PTH120
    main(launch_config(tmp_path, "shards", nodes=2, dry=True), ["--dataset", "out/d"])
    assert "diagonal_data.shards demo --workers 4 --dataset out/d" in capfd.readouterr().out
    assert not (tmp_path / "logs").exists()


def test_a_store_without_keys_is_refused_before_the_job_is_handed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    # Nothing outside this machine is asked for keys.
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"cannot write to 's3://bucket/d'.*credentials.*the keys"):
        main(launch_config(tmp_path, "shards"), ["--dataset", "s3://bucket/d"])
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("target", "recipe", "flags", "said"),
    [
        ("shards", "web", ["--datasett", "x"], "Perhaps you meant"),
        ("train", "tiny", ["--stream.lanes", "1", "--global-batch-size", "15"], "2 decoding"),
    ],
)
def test_flags_that_the_stage_refuses_are_refused_before_anything_is_handed_in(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    target: str,
    recipe: str,
    flags: list[str],
    said: str,
) -> None:
    with pytest.raises(UserError, match="refuses its flags"):
        main(launch_config(tmp_path, target, recipe=recipe, nodes=2, dry=True), flags)
    assert said in " ".join(capfd.readouterr().err.split())


def test_a_launch_ends_with_where_the_results_are(
    slurm_here: SlurmCluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = launch_config(tmp_path, "filters", recipe="basic")
    with (
        caplog.at_level(logging.INFO),
        pytest.raises(DiagonalError, match="slurm ended unfinished"),
    ):
        main(mine, ["--dataset", str(tmp_path / "none")])
    assert f"results will be in {tmp_path / 'none'}" in caplog.text
