import errno
from dataclasses import dataclass

import pytest

from diagonal_infra.cli import parse_recipe, run_command
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


@pytest.mark.parametrize("args", [["many"], ["few", "--counts", "3"], ["few", "--count", "x"], []])
def test_what_cannot_be_parsed_ends_with_code_2(args: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse(*args)
    assert left.value.code == 2


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
