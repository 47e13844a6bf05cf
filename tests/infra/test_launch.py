import signal
import sys

import pytest

from diagonal_infra.cli import parse_recipe
from diagonal_infra.launch import LaunchConfig, judged, plan_command, run_signalled, split_args


def test_a_local_launch_is_the_users_own_command() -> None:
    command, environment = plan_command(
        LaunchConfig(target="shards", recipe="web"), ["--workers", "4"]
    )
    assert command == [sys.executable, "-m", "diagonal_data.shards", "web", "--workers", "4"]
    assert environment == {}


def test_torchrun_starts_the_ranks() -> None:
    command, _ = plan_command(LaunchConfig(target="train", on="torchrun", processes=2))
    assert command[1:5] == ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    assert command[5:] == ["-m", "--", "diagonal_train", "demo"]


def test_ray_joins_the_named_cluster() -> None:
    config = LaunchConfig(target="train", on="ray", address="127.0.0.1:6379", processes=2)
    command, environment = plan_command(config)
    assert command[-4:] == ["--launcher", "ray", "--workers", "2"]
    assert environment == {"RAY_ADDRESS": "127.0.0.1:6379"}


def test_scores_on_ray_are_not_in_one_process() -> None:
    command, _ = plan_command(LaunchConfig(target="scores", on="ray", processes=3))
    assert command[2:] == ["diagonal_eval.scores", "demo", "--no-local", "--workers", "3"]


def test_what_cannot_be_launched_is_refused() -> None:
    with pytest.raises(ValueError, match="ranks of train and eval only"):
        LaunchConfig(target="shards", on="torchrun")
    with pytest.raises(ValueError, match="eval has no Ray part"):
        LaunchConfig(target="eval", on="ray", address="127.0.0.1:6379")
    with pytest.raises(ValueError, match="--workers-min is for train --on ray"):
        LaunchConfig(target="train", on="torchrun", workers_min=1)


def test_ray_without_an_address_starts_its_own() -> None:
    words = ["train", "--on", "ray", "--workers", "2", "--workers-min", "1", "--max-restarts", "5"]
    recipes = {"train": lambda: LaunchConfig(target="train")}
    command, environment = plan_command(parse_recipe(recipes, description="", args=words))
    expected = ["--workers", "2", "--workers-min", "1", "--worker-failures", "5"]
    assert command[2:] == ["diagonal_train", "demo", "--launcher", "ray", *expected]
    assert environment == {}


def test_torchrun_starts_failed_ranks_anew() -> None:
    config = LaunchConfig(target="train", on="torchrun", processes=2, max_restarts=3)
    assert "--max-restarts=3" in plan_command(config)[0]


@pytest.mark.parametrize(
    ("code", "finished", "truth"), [(0, True, 0), (134, True, 0), (0, False, 1), (143, False, 143)]
)
def test_the_final_checkpoint_decides(code: int, finished: bool, truth: int) -> None:
    assert judged(code, finished) == truth


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_signals_reach_the_stage(number: signal.Signals) -> None:
    stage = (
        "import os, signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7));"
        f"os.kill(os.getppid(), {number}); signal.pause()"
    )
    assert run_signalled([sys.executable, "-c", stage], {}) == 7


def test_flags_after_args_belong_to_the_stage() -> None:
    assert split_args(["train", "--dry", "--args", "--run", "x"]) == (
        ["train", "--dry"],
        ("--run", "x"),
    )
    assert split_args(["train"]) == (["train"], ())
