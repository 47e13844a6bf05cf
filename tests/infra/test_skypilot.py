import dataclasses
import itertools
from pathlib import Path

import pytest

from diagonal_infra.errors import DiagonalError, UserError
from diagonal_infra.profile import Nodes, Profile, SkySettings
from diagonal_infra.shape import plan_shape
from diagonal_infra.skypilot import plan_command, refuse_second
from diagonal_infra.work import Work

PROFILE = Profile(
    gpu_nodes=Nodes(gpus=8, cpus=96),
    cpu_nodes=Nodes(cpus=16),
    skypilot=SkySettings(data_image="r/data:1", train_image="r/train:1", infra="aws"),
)


def work(target: str, *flags: str, place: str = "s3://b/x") -> Work:
    name = "run" if target == "train" else "dataset"
    return Work(
        target=target,
        stage=("web", f"--{name}", place, *flags),
        profile=PROFILE,
        shape=plan_shape(target, PROFILE, 2, None),
        resolved={name: place},
    )


def pairs(command: list[str]) -> set[tuple[str, str]]:
    return set(itertools.pairwise(command))


def test_training_is_a_managed_job_on_so_many_machines() -> None:
    mine = work("train")
    command = plan_command(mine, follow=True)
    assert command[:3] == ["sky", "jobs", "launch"]
    assert Path(command[3]).exists()
    assert pairs(command) >= {
        ("--num-nodes", "2"),
        ("--gpus", "H100:8"),
        ("--image-id", "docker:r/train:1"),
        ("--infra", "aws"),
        ("--name", mine.name),
        ("--env", "RECIPE=web"),
        ("--env", "ARGS=--run s3://b/x"),
    }
    assert command[-1] == "--use-spot"


def test_shards_have_a_worker_for_each_core_and_a_token() -> None:
    command = plan_command(work("shards"), follow=False)
    assert Path(command[3]).exists()
    assert pairs(command) >= {
        ("--cpus", "16+"),
        ("--secret", "RAY_AUTH_TOKEN"),
        ("--env", "ARGS=--dataset s3://b/x --workers 32"),
    }
    assert command[-1] == "--detach-run"


@pytest.mark.parametrize(
    ("mine", "message"),
    [
        (work("eval"), "--on skypilot runs shards and train, not eval"),
        (work("train", place="out/run"), "would be lost with its machine"),
        (work("train", "--note", "a b"), "no flags with blanks, .* got 'a b'"),
        (
            dataclasses.replace(work("train"), profile=Profile()),
            r"needs the profile's \[skypilot\]",
        ),
    ],
)
def test_what_would_not_run_is_refused(mine: Work, message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan_command(mine, follow=True)


def sky(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small program of that name."""
    (folder / "sky").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "sky").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_a_job_that_is_in_the_queue_is_not_handed_in_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = work("train")
    sky(tmp_path, f"echo 7 - {mine.name} RUNNING", monkeypatch)
    with pytest.raises(UserError, match="runs already; end it with 'sky jobs cancel"):
        refuse_second(mine.name, [])
    refuse_second("another", [])


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no sky on this machine"):
        refuse_second("x", [])
    sky(tmp_path, "echo expired >&2; exit 1", monkeypatch)
    with pytest.raises(DiagonalError, match=r"sky jobs queue .*: expired"):
        refuse_second("x", [])
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    with pytest.raises(UserError, match="set RAY_AUTH_TOKEN"):
        refuse_second("x", plan_command(work("shards"), follow=True))
