import json
from pathlib import Path
from typing import Any

import pytest

from diagonal_eval.robustness import Baseline
from diagonal_eval.robustness_report import read_baselines, robustness_record
from diagonal_infra.errors import UserError

BASELINES = {
    "imagenetv2": [
        Baseline(name=str(p), reference=p, shifted=0.9 * p) for p in (0.3, 0.45, 0.6, 0.7)
    ]
}


def task(accuracy: float, n: int = 1000, **more: Any) -> dict[str, Any]:
    return {"metrics": {"acc1": accuracy}, "n": n, **more}


def classes(**of_class: tuple[int, float]) -> dict[str, Any]:
    return {name: {"n": n, "recall": recall} for name, (n, recall) in of_class.items()}


def record(tasks: dict[str, Any], baselines: dict[str, list[Baseline]] | None = None) -> Any:
    found = robustness_record(tasks, baselines or {}, seed=0)
    return json.loads(json.dumps(found, allow_nan=False))


def test_without_baselines_there_is_a_ratio_and_a_reason() -> None:
    found = record({"imagenet1k": task(0.6), "imagenetv2": task(0.48)})
    shift = found["shifts"]["imagenetv2"]
    assert shift["relative"]["value"] == pytest.approx(0.8)
    assert shift["effective"] is None
    assert "at least 2" in shift["line"]["note"]
    assert found["mean_relative"]["value"] == pytest.approx(0.8)


def test_with_baselines_there_is_a_residual_and_what_a_scatter_needs() -> None:
    shift = record({"imagenet1k": task(0.6), "imagenetv2": task(0.58)}, BASELINES)["shifts"]
    effective = shift["imagenetv2"]["effective"]
    assert effective["predicted"] == pytest.approx(0.54, abs=0.02)
    assert effective["value"] == pytest.approx(0.58 - effective["predicted"])
    assert len(shift["imagenetv2"]["baselines"]) == 4
    assert shift["imagenetv2"]["line"]["baselines"] == 4


def test_a_subset_is_held_against_the_same_classes() -> None:
    reference = task(0.5, per_class=classes(cat=(50, 0.9), dog=(50, 0.7), car=(900, 0.47)))
    shifted = task(0.4, 20, per_class=classes(cat=(10, 0.5), dog=(10, 0.3)))
    shift = record({"imagenet1k": reference, "imagenet-r": shifted})["shifts"]["imagenet-r"]
    assert shift["same_classes"]
    assert shift["reference_acc1"] == pytest.approx(0.8)
    assert shift["reference_n"] == 100
    assert shift["relative"]["value"] == pytest.approx(0.5)
    assert "2 of its 2 classes" in shift["note"]


def test_a_subset_without_results_per_class_says_what_it_is_held_against() -> None:
    shift = record({"imagenet1k": task(0.5), "imagenet-a": task(0.1)})["shifts"]["imagenet-a"]
    assert not shift["same_classes"]
    assert shift["reference_acc1"] == 0.5
    assert "of all classes" in shift["note"]


def test_without_reference_or_shift_there_is_nothing() -> None:
    for tasks in ({"imagenetv2": task(0.5)}, {"imagenet1k": task(0.5)}, {}):
        assert robustness_record(tasks, {}, seed=0) is None
    empty = {"imagenet1k": task(0.5), "imagenetv2": task(0.0, 0)}
    assert robustness_record(empty, {}, seed=0) is None


def test_a_reference_of_zero_has_no_ratio() -> None:
    found = record({"imagenet1k": task(0.0), "imagenetv2": task(0.1)})
    assert found["shifts"]["imagenetv2"]["relative"] is None
    assert found["mean_relative"] is None


def test_baselines_come_from_csv_and_from_results(tmp_path: Path) -> None:
    table = tmp_path / "baselines.csv"
    table.write_text(
        "name,shift,reference,shifted,shifted_n\nrn50,imagenetv2,0.76,0.63,10000\n"
        "rn50,imagenet-r,0.76,0.36,\n"
    )
    results = tmp_path / "results.json"
    tasks = {"imagenet1k": task(0.5), "imagenetv2": task(0.4)}
    results.write_text(json.dumps({"tasks": tasks}))
    found = read_baselines([str(table), str(results)])
    assert [(b.reference, b.shifted) for b in found["imagenetv2"]] == [(0.76, 0.63), (0.5, 0.4)]
    assert found["imagenetv2"][0].shifted_n == 10_000
    assert found["imagenet-r"][0].shifted_n == 0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "name,reference\nx,0.5\n", "lacks the columns shift, shifted"),
        ("a.csv", "name,shift,reference,shifted\nx,imagenetv2,0.5,63.1\n", "line 2.*0–1"),
        ("a.csv", "name,shift,reference,shifted\nx,imagenetv2,0.5,\n", "line 2"),
        ("a.json", "{", "holds no results"),
        ("a.json", '{"tasks": {"imagenetv2": {"metrics": {"acc1": 1}, "n": 1}}}', "imagenet1k"),
    ],
)
def test_files_that_hold_no_baselines_are_refused(
    name: str, content: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        read_baselines([str(path)])


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UserError, match=r"no baselines at 'nowhere\.csv'"):
        read_baselines(["nowhere.csv"])
