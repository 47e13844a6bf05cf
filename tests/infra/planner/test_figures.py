import json
from pathlib import Path

import pytest

from diagonal_infra.errors import UserError
from diagonal_infra.planner.figures import FALLBACKS, ROWS, figure

NAME = "images_per_core_second"


def write_fetch(folder: Path, month: str, cpu_ms: float) -> None:
    row = {"programs": {"diagonal": {"cpu_ms_excluded": cpu_ms}}, "date": f"{month}-01"}
    path = folder / f"fetch_some-cpu_{month}.json"
    path.write_text(json.dumps({"rows": {"base": row}}))


def test_what_is_given_wins_over_what_was_measured(tmp_path: Path) -> None:
    write_fetch(tmp_path, "2026-11", 10.0)
    assert figure(NAME, 7.0, str(tmp_path)).value == 7.0


def test_the_newest_measurement_is_taken_and_named(tmp_path: Path) -> None:
    write_fetch(tmp_path, "2026-11", 10.0)
    write_fetch(tmp_path, "2026-12", 8.0)
    write_fetch(tmp_path, "2025-12", 5.0)
    found = figure(NAME, None, str(tmp_path))
    assert found.value == 125.0
    assert found.source == "measured: fetch_some-cpu_2026-12.json, 2026-12-01"


def test_a_later_file_without_the_row_hides_no_measurement(tmp_path: Path) -> None:
    write_fetch(tmp_path, "2026-11", 10.0)
    (tmp_path / "fetch_another-cpu_2026-12.json").write_text('{"rows": {}}')
    assert figure(NAME, None, str(tmp_path)).value == 100.0


def test_without_a_measurement_somebody_elses_figure_stands_in(tmp_path: Path) -> None:
    (tmp_path / "fetch_some-cpu_2026-11.json").write_text('{"rows": {}}')
    for name in FALLBACKS:
        assert figure(name, None, str(tmp_path)) == FALLBACKS[name]


@pytest.mark.parametrize("text", ["no json", '{"rows": {"base": {"date": "2026-11-01"}}}'])
def test_results_that_cannot_be_read_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "fetch_some-cpu_2026-11.json").write_text(text)
    with pytest.raises(UserError, match=r"fetch_some-cpu_2026-11\.json"):
        figure(NAME, None, str(tmp_path))


@pytest.mark.parametrize("name", ROWS)
def test_what_is_measured_stands_in_this_repositorys_results(name: str) -> None:
    assert figure(name, None, "benchmarks/results").source.startswith("measured")
