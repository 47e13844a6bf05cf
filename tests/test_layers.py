"""Imports point left only, and data and infra never load torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ["diagonal_infra", "diagonal_data", "diagonal_train", "diagonal_eval"]
OWNERS = {
    "tyro": {"diagonal_infra/cli.py"},
    "ray": {
        "diagonal_infra/ray_cluster.py",
        "diagonal_infra/ray_workers.py",
        "diagonal_train/ray_train.py",
        "diagonal_eval/suite/ray_validation.py",
    },
    "open_clip": {
        "diagonal_train/encoders/models.py",
        "diagonal_train/encoders/published.py",
        "diagonal_train/encoders/pooled.py",
        "diagonal_train/encoders/needed_rows.py",
    },
}


def sources() -> list[Path]:
    return [path for layer in LAYERS for path in sorted((ROOT / layer[9:] / layer).rglob("*.py"))]


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found.add(node.module or "")
    return found


def test_there_are_sources_in_every_layer() -> None:
    assert {path.relative_to(ROOT).parts[1] for path in sources()} == set(LAYERS)


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_left_only(path: Path) -> None:
    own = LAYERS.index(path.relative_to(ROOT).parts[1])
    used = {name.partition(".")[0] for name in imports_of(path)} & set(LAYERS)
    assert used <= set(LAYERS[: own + 1])


@pytest.mark.parametrize("tool", OWNERS)
def test_one_owner_per_tool(tool: str) -> None:
    users = {
        "/".join(path.relative_to(ROOT).parts[1:])
        for path in sources()
        if tool in {name.partition(".")[0] for name in imports_of(path)}
    }
    assert users == OWNERS[tool]


@pytest.mark.parametrize(
    "module",
    [
        "diagonal_data.shards",
        "diagonal_data.candidates.__main__",
        "diagonal_data.filters.__main__",
        "diagonal_train.recipes",
    ],
)
def test_data_commands_and_recipes_do_not_load_torch(module: str) -> None:
    code = f"import sys, {module}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_trainer_does_not_load_ray() -> None:
    code = "import sys, diagonal_train.loop; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_package_maps_hold_no_code() -> None:
    for path in sources():
        if path.name == "__init__.py":
            body = ast.parse(path.read_text()).body
            assert len(body) == 1, path
            assert isinstance(body[0], ast.Expr), path
