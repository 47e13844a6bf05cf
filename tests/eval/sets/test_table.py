import io
import re
from pathlib import Path

from rich.console import Console
from tests.eval.sets.tiny_sets import config_for, labelled, write_wds

from diagonal_eval.sets.registry import COLLECTIONS, TASKS
from diagonal_eval.sets.table import markdown_table, terminal_table

PAGE = (Path(__file__).parents[3] / "docs" / "evaluation.md").read_text()


def test_the_page_has_the_table_of_the_registry() -> None:
    (table,) = re.findall(r"<!-- sets -->\n(.*)<!-- end of sets -->", PAGE, re.DOTALL)
    assert table == markdown_table(), "run python -m diagonal_eval.sets markdown"


def test_the_page_names_every_collection() -> None:
    assert all(f"`{name}`" in PAGE for name in COLLECTIONS)


def test_the_markdown_has_a_row_for_each_set_and_equal_columns() -> None:
    rows = [line for line in markdown_table().splitlines() if line.startswith("|")]
    assert len(rows) == len(TASKS) + 2
    assert {row.count("|") for row in rows} == {9}


def test_the_terminal_table_says_what_is_there(tmp_path: Path) -> None:
    write_wds(tmp_path / "sets" / "cifar10", [labelled(3)])
    out = io.StringIO()
    table = terminal_table(["cifar10", "pets"], config_for(tmp_path))
    Console(file=out, width=400).print(table)
    cifar10, pets = (line for line in out.getvalue().splitlines() if "│" in line)
    assert "cifar10 (webdataset)" in cifar10
    assert "OxfordIIITPet" in pets
