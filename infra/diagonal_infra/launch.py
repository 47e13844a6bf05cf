"""Start a stage: here, under torchrun, on Ray, or on a cluster of Slurm, Kubernetes or a cloud.

    python -m diagonal_infra.launch train --on torchrun --processes 2 --args --samples-seen 1000
    python -m diagonal_infra.launch train --on ray --workers 2
    python -m diagonal_infra.launch train --on slurm --nodes 2 --profile cluster.toml

The stage is the same command as on a laptop; this only puts the launcher in front of it and prints
what it runs. `--dry` prints and stops. On a cluster that is a script or a manifest, which is
checked, handed in once and followed to its end. SIGTERM and SIGUSR1 reach a stage here as SIGTERM.
Launchers can fail behind the last step, or seem well before it: whether a training run is finished
is decided by its final checkpoint.
"""

import logging
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

from diagonal_infra import log
from diagonal_infra.cli import also, run_command
from diagonal_infra.clusters import on_kuberay, on_skypilot, on_slurm
from diagonal_infra.errors import DiagonalError, UserError, require
from diagonal_infra.profile import read_profile
from diagonal_infra.shape import plan_shape
from diagonal_infra.stages import MODULES, RANKED, RAY_FLAGS, resolve
from diagonal_infra.work import Work

CLUSTERS = ("slurm", "kuberay", "skypilot")
"""Launchers that need --profile and know --nodes."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LaunchConfig:
    """What to start and where."""

    target: str
    """Stage, as the make targets name them."""
    recipe: str = "demo"
    """Recipe of that stage."""
    on: Literal["local", "torchrun", "ray", "slurm", "kuberay", "skypilot"] = "local"
    """local: one process; torchrun: `processes` ranks on this machine (train, eval); ray: the
    cluster at --address, or one of its own on this machine (shards, reshard and train); the others:
    on --nodes of the cluster that --profile describes."""
    processes: Annotated[int | None, also("--workers")] = None
    """Ranks or Ray's workers in all. None: 1, and on a cluster one for each GPU of the nodes, or
    each core where shards are built."""
    nodes: int = 1
    """Machines of the cluster, or pods."""
    profile: str | None = None
    """TOML file that describes the cluster; see infra/profile.toml."""
    follow: bool = True
    """Show the log until the job ends; else hand it in and leave."""
    workers_min: int | None = None
    """Fewest ranks that train goes on with on a Ray cluster that lost nodes; None: `processes`."""
    max_restarts: int = 0
    """How often the ranks of train are started anew when one fails."""
    address: str | None = None
    """Ray cluster to join with --on ray, for instance 127.0.0.1:6379."""
    dry: bool = False
    """Print the command and stop."""

    def __post_init__(self) -> None:
        if self.on == "torchrun" and self.target not in RANKED:
            known = " and ".join(RANKED)
            raise ValueError(f"--on torchrun starts ranks of {known} only, not of {self.target}")
        if self.on == "ray" and self.target not in RAY_FLAGS:
            known = ", ".join(RAY_FLAGS)
            raise ValueError(f"{self.target} has no Ray part; --on ray is for {known}")
        if self.workers_min is not None and (self.on, self.target) != ("ray", "train"):
            raise ValueError("--workers-min is for train --on ray")
        require(self.processes is None or self.processes >= 1, "--processes must be at least 1")
        require(self.nodes >= 1, f"--nodes must be at least 1, got {self.nodes}")
        here = self.on not in CLUSTERS
        require(self.nodes == 1 or not here, f"--nodes needs --on {', '.join(CLUSTERS)}")


def plan_command(
    config: LaunchConfig, passed_on: Sequence[str] = ()
) -> tuple[list[str], dict[str, str]]:
    """The command line, with the stage's own flags last, and the environment variables it adds."""
    stage = [MODULES[config.target], config.recipe]
    if config.on == "ray":
        stage += [*RAY_FLAGS[config.target], "--workers", str(config.processes or 1)]
        if config.workers_min is not None:
            stage += ["--workers-min", str(config.workers_min)]
        if config.max_restarts and config.target == "train":
            stage += ["--worker-failures", str(config.max_restarts)]
    stage += passed_on
    if config.on == "torchrun":
        ranks = ["--standalone", f"--nproc-per-node={config.processes or 1}"]
        if config.max_restarts:
            ranks.append(f"--max-restarts={config.max_restarts}")
        # The double dash keeps torchrun from taking the stage's --run for one of its own flags.
        return [sys.executable, "-m", "torch.distributed.run", *ranks, "-m", "--", *stage], {}
    environment = {"RAY_ADDRESS": config.address} if config.on == "ray" and config.address else {}
    return [sys.executable, "-m", *stage], environment


def main(config: LaunchConfig, passed_on: Sequence[str] = ()) -> None:
    """Print the command, then run it and leave with its exit code."""
    if config.on in CLUSTERS:
        launch_on_cluster(config, passed_on)
        return
    command, environment = plan_command(config, passed_on)
    shown = [*(f"{name}={value}" for name, value in environment.items()), *command]
    log.STDOUT.print(shlex.join(shown), soft_wrap=True, highlight=False)
    if config.dry:
        return
    code = run_signalled(command, environment)
    if config.target == "train" and config.on != "local":
        code = judged(code, is_finished(config, passed_on))
    if code:
        sys.exit(code)


def launch_on_cluster(config: LaunchConfig, passed_on: Sequence[str]) -> None:
    """Print what is handed in, hand it in, and follow it.

    Raises:
        UserError: flags, profile and nodes do not fit, or the cluster has the job already.
        DiagonalError: it ended unfinished.
    """
    if config.profile is None:
        raise UserError(f"--on {config.on} needs --profile")
    profile = read_profile(config.profile)
    shape = plan_shape(config.target, profile, config.nodes, config.processes)
    work = Work(
        target=config.target,
        stage=(config.recipe, *passed_on),
        profile=profile,
        shape=shape,
        resolved=resolve(config.target, config.recipe, passed_on, ranks=shape.processes),
        max_restarts=config.max_restarts,
    )
    launcher = {"slurm": on_slurm, "kuberay": on_kuberay, "skypilot": on_skypilot}[config.on]
    code = launcher(work, dry=config.dry, follow=config.follow)
    if config.target == "train" and code is not None:
        code = judged(code, is_finished(config, passed_on))
    if code:
        raise DiagonalError(
            f"{config.target} on {config.on} ended unfinished; its log says why, and the same "
            "command goes on behind what is finished"
        )


def run_signalled(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command that gets our SIGTERM and SIGUSR1 as SIGTERM; its exit code."""
    process: subprocess.Popen[bytes] | None = None
    asked = False

    def end(*_: object) -> None:
        nonlocal asked
        asked = True
        if process is not None:
            process.terminate()

    # torchrun dies of SIGUSR1, and its ranks with it.
    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        process = subprocess.Popen(command, env=os.environ | environment)
        if asked:
            process.terminate()
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 - code if code < 0 else code


def is_finished(config: LaunchConfig, passed_on: Sequence[str]) -> bool:
    """Whether the run that was launched has its final checkpoint."""
    check = [sys.executable, "-m", "diagonal_train.finished", config.recipe, *passed_on]
    return subprocess.run(check, check=False).returncode == 0


def judged(code: int, finished: bool) -> int:
    """The exit code that tells the truth."""
    if finished and code:
        logger.warning("the launcher left with code %d, but the final checkpoint is whole", code)
    return 0 if finished else code or 1


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
