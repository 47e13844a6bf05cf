"""Every recipe builds, and the flags of every command are as recorded: a new flag is a decision."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from diagonal_data import recipes as data_recipes
from diagonal_data.candidates.recipes import CANDIDATES
from diagonal_data.dedup import recipes as dedup_recipes
from diagonal_data.filters.recipes import FILTERS
from diagonal_data.reshard.config import RESHARD
from diagonal_eval import recipes as eval_recipes
from diagonal_eval.explore.config import EXPLORE
from diagonal_eval.scores.config import SCORES
from diagonal_infra.cli import parse_recipe
from diagonal_infra.planner.recipes import PLANS
from diagonal_train import recipes as train_recipes

COMMANDS: dict[str, dict[str, Callable[[], Any]]] = {
    "candidates": CANDIDATES,
    "shards": data_recipes.SHARDS,
    "report": data_recipes.REPORT,
    "dedup": dedup_recipes.DEDUP,
    "decontaminate": dedup_recipes.DECONTAMINATE,
    "filters": FILTERS,
    "reshard": RESHARD,
    "train": train_recipes.TRAIN,
    "eval": eval_recipes.EVAL,
    "scores": SCORES,
    "explore": EXPLORE,
    "plan": PLANS,
}
GOLDEN = Path(__file__).parent / "golden" / "flags.txt"
ALL = [(command, name) for command, recipes in COMMANDS.items() for name in recipes]


@pytest.mark.parametrize(("command", "name"), ALL)
def test_every_recipe_builds_and_is_explained(command: str, name: str) -> None:
    recipe = COMMANDS[command][name]
    assert recipe.__doc__, f"{command} {name} needs a docstring: it is the help text"
    assert parse_recipe(COMMANDS[command], description="", args=[name]) == recipe()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_demo_recipe(command: str) -> None:
    assert "demo" in COMMANDS[command]


def flags(config: Any, prefix: str = "--") -> list[str]:
    names = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        flag = prefix + field.name.replace("_", "-")
        names += flags(value, f"{flag}.") if dataclasses.is_dataclass(value) else [flag]
    return names


def test_the_flags_are_as_recorded() -> None:
    lines = [
        f"{command} {flag}"
        for command, recipes in COMMANDS.items()
        for flag in flags(recipes["demo"]())
    ]
    assert lines == GOLDEN.read_text().splitlines(), "record a decided change in golden/flags.txt"
