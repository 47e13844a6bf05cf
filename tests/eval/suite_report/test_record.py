import math

import pytest

from diagonal_eval.suite_report.record import finite, read_task


@pytest.mark.parametrize("value", [None, float("nan"), math.inf, "0.5", True, [0.5]])
def test_what_is_no_finite_number_is_unknown(value) -> None:
    assert finite(value) is None


def test_the_headline_comes_first_whatever_its_place() -> None:
    record = {"metric": "map", "metrics": {"acc1": 0.1, "map": 0.4}, "ci95": {"map": [0.3, 0.5]}}
    task = read_task("voc", {**record, "n": 7})
    assert [measure.name for measure in task.measures] == ["map", "acc1"]
    assert (task.headline.value, task.headline.interval, task.headline.n) == (0.4, (0.3, 0.5), 7)
    assert task.measures[1].interval is None


def test_an_almost_empty_record_is_read() -> None:
    task = read_task("x", {})
    assert task.headline.value is None
    assert (task.per_template, task.groups, task.confusions, task.bins) == ((), {}, (), ())


def test_parts_have_the_tasks_metric_or_else_accuracy() -> None:
    record = {
        "metric": "text_acc",
        "groups": {"kind": {"swap": {"n": 3, "text_acc": 0.5, "ci95": [0.1, 0.9]}}},
        "per_template": {"{}": {"acc1": 0.2, "ci95": {"acc1": [0.1, 0.3]}}},
        "calibration": {"ece": 0.1, "bins": [{"n": 0, "confidence": None}, {"n": 2}]},
    }
    task = read_task("x", record)
    (group,) = task.groups["kind"]
    assert (group.name, group.value, group.interval, group.n) == ("swap", 0.5, (0.1, 0.9), 3)
    assert (task.per_template[0].value, task.per_template[0].interval) == (0.2, (0.1, 0.3))
    assert [part["n"] for part in task.bins] == [2]


def test_another_measure_stands_in_for_a_headline_that_could_not_be_computed() -> None:
    task = read_task("x", {"metric": "roc_auc", "metrics": {"acc1": 1.0}, "n": 5})
    assert (task.metric, task.headline.value) == ("acc1", 1.0)


def test_classes_have_recalls_or_average_precisions() -> None:
    parts = {"a": {"n": 1, "recall": 0.5}, "b": {"n": 1, "average_precision": 0.25}}
    assert [m.value for m in read_task("x", {"per_class": parts}).per_class] == [0.5, 0.25]
