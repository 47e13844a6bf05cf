import errno
import importlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from diagonal_infra.cli import packages_of, parse_recipe, run_command
from diagonal_infra.errors import DiagonalError, UserError


@dataclass(frozen=True, kw_only=True)
class Config:
    count: int = 1
    """How many."""
    local: bool = False
    """Here."""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"--count must be at least 1, got {self.count}")


def few() -> Config:
    """Just a few."""
    return Config(count=3)


RECIPES = {"few": few, "one": Config}


def parse(*args: str) -> Config:
    return parse_recipe(RECIPES, description="Counts.", args=list(args))


def test_flags_change_the_recipe() -> None:
    assert parse("few") == Config(count=3)
    assert parse("few", "--local") == Config(count=3, local=True)
    assert parse("one", "--count", "5") == Config(count=5)


def test_a_default_recipe_is_meant_where_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    def parsed(*args: str) -> Config:
        return parse_recipe(RECIPES, description="Counts.", args=list(args), default="few")

    assert parsed("--local") == Config(count=3, local=True)
    assert parsed("one", "--local") == Config(local=True)
    with pytest.raises(SystemExit):
        parsed("--help")
    assert "Just a few." in capsys.readouterr().out
    with pytest.raises(SystemExit):
        parsed()


@pytest.mark.parametrize("args", [["many"], ["few", "--counts", "3"], ["few", "--count", "x"], []])
def test_what_cannot_be_parsed_ends_with_code_2(args: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse(*args)
    assert left.value.code == 2


def test_a_package_that_is_not_installed_is_named_with_its_extra(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as left, packages_of("train"):
        importlib.import_module("no_such_package")
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert "error: no package 'no_such_package'" in said
    assert "the extra 'train'" in said
    with pytest.raises(ModuleNotFoundError), packages_of("train"):
        importlib.import_module("diagonal_infra.no_such_module")


@pytest.mark.parametrize(
    "module", ["diagonal_train", "diagonal_eval", "diagonal_eval.scores"], ids=str
)
def test_without_torch_stages_say_what_they_need(module: str, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('none', name='torch')")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", module, "demo"],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: no package 'torch'")


def test_help_shows_recipes_fields_and_units(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse("--help")
    assert left.value.code == 0
    assert "Just a few." in capsys.readouterr().out
    with pytest.raises(SystemExit):
        parse("few", "--help")
    assert "How many." in capsys.readouterr().out


def test_a_value_that_the_configuration_refuses_is_the_users_mistake(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as left:
        parse("one", "--count", "0")
    assert left.value.code == 2
    assert "--count must be at least 1, got 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("no such thing"), 2),
        (DiagonalError("trouble"), 1),
        (OSError(errno.ENOSPC, "No space left on device", "x/y"), 1),
        (ImportError("Install s3fs to access S3"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_trouble_is_one_line_and_an_exit_code(
    error: BaseException,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def main(_: Config) -> None:
        raise error

    monkeypatch.setattr("sys.argv", ["prog", "one"])
    with pytest.raises(SystemExit) as left:
        run_command(main, RECIPES, description=None)
    assert left.value.code == code
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1


@pytest.mark.parametrize("error", [KeyError("a bug"), OSError(errno.EIO, "a broken disk")])
def test_a_bug_keeps_its_traceback(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def main(_: Config) -> None:
        raise error

    monkeypatch.setattr("sys.argv", ["prog", "one"])
    with pytest.raises(type(error)):
        run_command(main, RECIPES, description=None)
