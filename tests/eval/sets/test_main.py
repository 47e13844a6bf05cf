import pytest

from diagonal_eval.sets.__main__ import COMMANDS, ListConfig, main
from diagonal_eval.sets.table import markdown_table
from diagonal_infra.cli import parse_recipe
from diagonal_infra.errors import UserError


def test_the_documented_commands_parse() -> None:
    parsed = parse_recipe(
        COMMANDS, description="", args=["list", "vtab+", "cifar10", "--root", "/data/sets"]
    )
    assert parsed == ListConfig(names=("vtab+", "cifar10"), root="/data/sets")
    assert parse_recipe(COMMANDS, description="", args=["list"]) == ListConfig()


def test_the_markdown_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    main(COMMANDS["markdown"]())
    assert capsys.readouterr().out == markdown_table()


def test_a_wrong_name_is_the_users_mistake() -> None:
    with pytest.raises(UserError, match="perhaps shifts"):
        main(ListConfig(names=("shift",)))
