"""The stages that can be launched: their modules, how they use several processes, what they make.

A stage is asked for its own configuration (`resolve`), so its flags are checked where the user
sits and not when a cluster's queue lets it start.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from diagonal_infra.cli import RESOLVE
from diagonal_infra.errors import UserError

MODULES = {
    "candidates": "diagonal_data.candidates",
    "shards": "diagonal_data.shards",
    "filters": "diagonal_data.filters",
    "reshard": "diagonal_data.reshard",
    "scores": "diagonal_eval.scores",
    "train": "diagonal_train",
    "eval": "diagonal_eval",
}
RAY_FLAGS = {
    "shards": (),
    "reshard": (),
    "scores": ("--no-local",),
    "train": ("--launcher", "ray"),
}
"""Stages that use Ray, and the flags that make them."""
RANKED = ("train", "eval")
"""Stages that know of ranks; of eval the recipe zeroshot does."""
ON_GPUS = ("train", "eval", "scores")


def resolve(
    target: str, recipe: str, flags: Sequence[str], *, ranks: int | None = None
) -> dict[str, Any]:
    """The stage's configuration with these flags; with `ranks`, checked for so many.

    Raises:
        UserError: the stage refuses them, and has said why on stderr.
    """
    command = [sys.executable, "-m", MODULES[target], recipe, *flags]
    if ranks is not None and target == "train":
        command += ["--workers", str(ranks)]
    done = subprocess.run(
        command, env=os.environ | {RESOLVE: "1"}, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise UserError(f"{target} {recipe} refuses its flags; nothing was launched")
    return json.loads(done.stdout)
