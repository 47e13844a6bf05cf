"""Stages on clouds, through SkyPilot: infra/cluster/sky's tasks as managed jobs.

The task splits its ARGS at blanks, so flags with blanks are refused.
"""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from diagonal_infra.errors import DiagonalError, UserError
from diagonal_infra.work import Work

TASKS = Path(__file__).parents[1] / "cluster" / "sky"
TARGETS = ("shards", "train")
TOKEN = "RAY_AUTH_TOKEN"
PLAIN = re.compile(r"[^\s*?\[\]]+")


def plan_command(work: Work, *, follow: bool) -> list[str]:
    """The `sky jobs launch` of a stage.

    Raises:
        UserError: there is no task for the stage, the profile says nothing of SkyPilot, a flag has
            blanks, or results would go with the machines.
    """
    settings, shape, target = work.profile.skypilot, work.shape, work.target
    if settings is None:
        raise UserError("--on skypilot needs the profile's [skypilot]")
    if target not in TARGETS:
        raise UserError(f"--on skypilot runs {' and '.join(TARGETS)}, not {target}")
    if "://" not in work.results:
        raise UserError(f"{work.results} would be lost with its machine; give a URL: s3://bucket/…")
    recipe, *flags = work.stage
    odd = [flag for flag in flags if not PLAIN.fullmatch(flag)]
    if odd:
        raise UserError(f"SkyPilot's task takes no flags with blanks, * or ?, and got {odd[0]!r}")
    words = ["sky", "jobs", "launch", str(TASKS / f"{target}.yaml"), "--yes", "--name", work.name]
    words += ["--num-nodes", str(shape.nodes), "--env", f"RECIPE={recipe}"]
    if target == "train":
        words += ["--gpus", f"{settings.gpu}:{shape.per_node}"]
        image = settings.train_image
    else:
        flags += ["--workers", str(shape.processes)]
        words += ["--cpus", f"{shape.cpus}+", "--secret", TOKEN]
        image = settings.data_image
    words += ["--env", f"ARGS={' '.join(flags)}", "--image-id", f"docker:{image}"]
    words += ["--infra", settings.infra] if settings.infra else []
    words += ["--use-spot" if settings.spot else "--no-use-spot"]
    return words if follow else [*words, "--detach-run"]


def refuse_second(name: str, command: Sequence[str]) -> None:
    """A managed job of that name that is not over is not handed in again.

    Raises:
        UserError: there is one, SkyPilot is not installed, or a secret is not set.
        DiagonalError: SkyPilot does not answer.
    """
    if shutil.which("sky") is None:
        raise UserError("no sky on this machine; install skypilot and run 'sky check'")
    if TOKEN in command and not os.environ.get(TOKEN):
        raise UserError(f"set {TOKEN} to a secret of your own, such as $(openssl rand -hex 32)")
    asked = ["sky", "jobs", "queue", "--skip-finished"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DiagonalError(f"{shlex.join(asked)}: {done.stderr.strip()}")
    if name in done.stdout.split():
        raise UserError(f"job {name} runs already; end it with 'sky jobs cancel --name {name}'")
