"""The same function over the same units: in this process and on Ray, with failures."""

import os
from pathlib import Path

import pytest

from diagonal_infra import ray_cluster
from diagonal_infra.errors import UnitError
from diagonal_infra.shared import Shared

MODES = [pytest.param(True, id="local"), pytest.param(False, id="ray", marks=pytest.mark.ray)]


def run(function, items: list, local: bool, deadline_seconds: float = 60.0) -> dict:
    return dict(
        ray_cluster.map_unordered(
            function, items, workers=2, local=local, deadline_seconds=deadline_seconds
        )
    )


@pytest.mark.parametrize("local", MODES)
def test_failing_units_are_tried_again_and_the_others_finish(tmp_path: Path, local: bool) -> None:
    # One Ray runtime for all cases: starting it costs seconds.
    def square(name: str, _: Shared) -> str:
        tries = tmp_path / name
        with tries.open("a") as file:
            file.write(".")
        if name == "fails once" and len(tries.read_text()) == 1:
            raise RuntimeError("first time")
        if name == "dies once" and len(tries.read_text()) == 1 and not local:
            os._exit(1)
        if name == "always fails":
            raise RuntimeError("every time")
        return name.upper()

    names = ["one", "fails once", "always fails", "dies once", "two"]
    results = {}
    finished = ray_cluster.map_unordered(
        square, names, workers=2, local=local, deadline_seconds=60.0
    )
    with pytest.raises(UnitError, match="1 of 5 units failed 3 times: always fails;"):
        results.update(item for item in finished)
    assert results == {n: n.upper() for n in names if n != "always fails"}
    assert len((tmp_path / "always fails").read_text()) == ray_cluster.ATTEMPTS
    assert len((tmp_path / "fails once").read_text()) == 2


@pytest.mark.ray
def test_a_unit_past_its_deadline_is_started_again(tmp_path: Path) -> None:
    def hang_once(name: str, _: Shared) -> str:
        first = tmp_path / name
        if not first.exists():
            first.touch()
            os.read(os.pipe()[0], 1)  # nothing is ever written to this pipe
        return name

    assert run(hang_once, ["stuck"], local=False, deadline_seconds=3.0) == {"stuck": "stuck"}


def test_no_units_start_no_ray() -> None:
    assert run(lambda item, _: item, [], local=False) == {}
