"""Start a stage: here, under torchrun, or against a running Ray cluster.

    python -m diagonal_infra.launch train --on torchrun --processes 2 --args --samples 1000

The stage is the same command as on a laptop; this only puts the launcher in front of it and prints
what it runs. `--dry` prints and stops.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from diagonal_infra import log
from diagonal_infra.cli import run_command

MODULES = {
    "candidates": "diagonal_data.candidates",
    "shards": "diagonal_data.shards",
    "filters": "diagonal_data.filters",
    "reshard": "diagonal_data.reshard",
    "scores": "diagonal_eval.scores",
    "train": "diagonal_train",
    "eval": "diagonal_eval",
}
RAY_FLAGS = {"shards": (), "train": ("--launcher", "ray")}
"""Stages that use Ray, and the flags that make them."""


@dataclass(frozen=True, kw_only=True)
class LaunchConfig:
    """What to start and where."""

    target: str
    """Stage, as the make targets name them."""
    recipe: str = "demo"
    """Recipe of that stage."""
    on: Literal["local", "torchrun", "ray"] = "local"
    """local: one process; torchrun: `processes` ranks on this machine (train); ray: the cluster at
    --address (shards and train)."""
    processes: int = 1
    """Ranks of torchrun or Ray Train; shards built at a time on Ray."""
    address: str | None = None
    """Ray cluster to join with --on ray, for instance 127.0.0.1:6379."""
    dry: bool = False
    """Print the command and stop."""

    def __post_init__(self) -> None:
        if self.on == "torchrun" and self.target != "train":
            raise ValueError(f"--on torchrun starts ranks of train only, not of {self.target}")
        if self.on == "ray" and self.target not in RAY_FLAGS:
            raise ValueError(f"{self.target} has no Ray part; --on ray is for shards and train")
        if self.on == "ray" and self.address is None:
            raise ValueError("--on ray needs --address HOST:PORT of a running cluster")


def plan_command(
    config: LaunchConfig, passed_on: Sequence[str] = ()
) -> tuple[list[str], dict[str, str]]:
    """The command line, with the stage's own flags last, and the environment variables it adds."""
    stage = [MODULES[config.target], config.recipe]
    if config.on == "ray":
        stage += [*RAY_FLAGS[config.target], "--workers", str(config.processes)]
    stage += passed_on
    if config.on == "torchrun":
        ranks = ["--standalone", f"--nproc-per-node={config.processes}"]
        # The double dash keeps torchrun from taking the stage's --run for one of its own flags.
        return [sys.executable, "-m", "torch.distributed.run", *ranks, "-m", "--", *stage], {}
    environment = {"RAY_ADDRESS": config.address} if config.on == "ray" and config.address else {}
    return [sys.executable, "-m", *stage], environment


def main(config: LaunchConfig, passed_on: Sequence[str] = ()) -> None:
    """Print the command, then run it and leave with its exit code."""
    command, environment = plan_command(config, passed_on)
    shown = [*(f"{name}={value}" for name, value in environment.items()), *command]
    log.STDOUT.print(shlex.join(shown), soft_wrap=True, highlight=False)
    if config.dry:
        return
    done = subprocess.run(command, env=os.environ | environment, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def recipe_for(target: str) -> LaunchConfig:
    """The default launch of one stage."""
    return LaunchConfig(target=target)


def _recipes() -> dict[str, Callable[[], LaunchConfig]]:
    return {target: partial(recipe_for, target) for target in MODULES}


def split_args(words: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Our flags, and what follows `--args`, which belongs to the stage to the letter."""
    if "--args" not in words:
        return list(words), ()
    cut = list(words).index("--args")
    return list(words[:cut]), tuple(words[cut + 1 :])


if __name__ == "__main__":
    own, passed_on = split_args(sys.argv[1:])
    sys.argv[1:] = own
    run_command(partial(main, passed_on=passed_on), _recipes(), description=__doc__)
