import sys

import pytest

from diagonal_infra.launch import LaunchConfig, plan_command, split_args


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


def test_what_cannot_be_launched_is_refused() -> None:
    with pytest.raises(ValueError, match="ranks of train only"):
        LaunchConfig(target="shards", on="torchrun")
    with pytest.raises(ValueError, match="eval has no Ray part"):
        LaunchConfig(target="eval", on="ray", address="127.0.0.1:6379")
    with pytest.raises(ValueError, match="needs --address"):
        LaunchConfig(target="shards", on="ray")


def test_flags_after_args_belong_to_the_stage() -> None:
    assert split_args(["train", "--dry", "--args", "--run", "x"]) == (
        ["train", "--dry"],
        ("--run", "x"),
    )
    assert split_args(["train"]) == (["train"], ())
