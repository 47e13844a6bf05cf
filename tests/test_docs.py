"""Every command in README and docs parses, and every make target they name exists."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.test_recipes import COMMANDS

from diagonal_data.reshard.config import DEFAULT
from diagonal_data.schema import ROW_SCHEMA, TRANSIENT, Reason
from diagonal_data.takedown.config import TAKEDOWN
from diagonal_eval.explore.config import SERVE
from diagonal_infra.cli import parse_recipe
from diagonal_infra.launch import MODULES
from diagonal_train.streaming.samples import CAUSES

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BY_MODULE = {module: name for name, module in MODULES.items()} | {
    "diagonal_eval.explore": "explore",
    "diagonal_data.report": "report",
    "diagonal_data.takedown": "takedown",
    "diagonal_data.dedup": "dedup",
    "diagonal_data.decontaminate": "decontaminate",
    "diagonal_infra.plan": "plan",
}
DEFAULTS = {"reshard": DEFAULT, "takedown": "add", "explore": SERVE}
"""The recipes of commands that need none to be named."""
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def lines() -> Iterator[tuple[Path, str]]:
    """Every line inside a code block, continuations joined."""
    for page in PAGES:
        for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                yield page, line.partition("  #")[0].strip().removeprefix("$ ")


MODULE_CALLS = [line for _, line in lines() if re.search(r"python -m diagonal_\w+", line)]
MAKE_CALLS = [line for _, line in lines() if line.startswith("make ")]


def test_the_documentation_shows_commands() -> None:
    assert MODULE_CALLS
    assert MAKE_CALLS


@pytest.mark.parametrize("line", MODULE_CALLS)
def test_every_documented_module_call_parses(line: str) -> None:
    words = shlex.split(line)
    module, *args = words[words.index("-m") + 1 :]
    if module in BY_MODULE:
        name = BY_MODULE[module]
        recipes = TAKEDOWN if name == "takedown" else COMMANDS[name]
        parse_recipe(recipes, description="", args=args, default=DEFAULTS.get(name))
    else:
        path = module.replace(".", "/")
        files = [*ROOT.glob(f"*/{path}.py"), *ROOT.glob(f"*/{path}/__main__.py")]
        assert files, f"no module {module}"


@pytest.mark.parametrize("line", MAKE_CALLS)
def test_every_documented_make_call_names_targets_and_parses(line: str) -> None:
    words = shlex.split(line)[1:]
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    targets = [word for word in words if "=" not in word]
    assert set(targets) <= TARGETS
    for target in targets:
        if target in COMMANDS:
            args = [settings.get("RECIPE", "demo"), *shlex.split(settings.get("ARGS", ""))]
            parse_recipe(COMMANDS[target], description="", args=args)


def test_the_page_on_fetching_has_every_reason_and_what_is_retried() -> None:
    page = (ROOT / "docs" / "fetching.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|.*\| (yes )?\|$", page, re.MULTILINE)
    assert {name for name, _ in rows} == set(Reason)
    assert {name for name, again in rows if again} == TRANSIENT


def test_the_page_on_formats_has_every_column() -> None:
    page = (ROOT / "docs" / "data-format.md").read_text()
    cells = re.findall(r"^\| ([\w, ]+) \|", page, re.MULTILINE)
    columns = {name for cell in cells for name in cell.split(", ")}
    assert set(ROW_SCHEMA.names) <= columns


def test_the_page_on_formats_names_what_is_retried() -> None:
    page = (ROOT / "docs" / "data-format.md").read_text()
    (listed,) = re.findall(r"one that may pass: `([\w\s]+)`", page)
    assert set(listed.split()) == TRANSIENT


def test_every_cause_of_replacement_is_explained() -> None:
    page = (ROOT / "docs" / "streaming.md").read_text()
    assert tuple(re.findall(r"^\| `(\w+)` \| ", page, re.MULTILINE)) == CAUSES
