import re

from tests.eval.suite_report.folders import HOSTILE, design

from diagonal_eval.suite_report.curves import (
    Point,
    curves_chart,
    design_charts,
    few_shot_chart,
    fine_tuning_chart,
)
from diagonal_eval.suite_report.record import read_task


def test_several_curves_have_a_legend_and_a_single_one_has_none() -> None:
    curve = [Point(x=0, y=0.5, interval=(0.4, 0.6)), Point(x=1, y=0.7)]
    one = curves_chart({"a": curve}, x_label="x", y_label="y")
    assert "legend" not in one
    assert (one.count("<circle"), one.count("whisker")) == (2, 1)
    two = curves_chart({"a": curve, HOSTILE: curve}, x_label="x", y_label="y")
    assert two.count("<polyline") == 2
    assert "&lt;script&gt;" in two
    assert "<script" not in two


def test_intervals_lie_inside_the_chart() -> None:
    curve = [Point(x=1, y=0.5, interval=(0.1, 0.98))]
    low, high = re.findall(
        r'd="M[\d.]+ ([\d.]+)V([\d.]+)"', curves_chart({"a": curve}, x_label="", y_label="")
    )[0]
    assert 0 < float(high) < float(low) < 260


def test_shots_without_a_number_are_left_out() -> None:
    points = [
        {"shots": 1, "metric": "acc1", "value": float("nan"), "ci95": [0.0, 1.0]},
        {"shots": 2, "metric": "acc1", "value": 0.5, "ci95": [0.4, 0.6]},
    ]
    assert few_shot_chart(read_task("x", {"few_shot": points})).count("<circle") == 1
    assert few_shot_chart(read_task("x", {"few_shot": points[:1]})) == ""
    assert few_shot_chart(read_task("x", {})) == ""


def test_every_set_has_a_curve_between_the_weights() -> None:
    curve = {"acc1": [0.2, 0.6, 0.5], "ci95": [[0.1, 0.3], [0.5, 0.7], [0.4, 0.6]], "n": 9}
    chart = fine_tuning_chart({"alphas": [0, 0.5, 1], "curves": {"a": curve, "shift": curve}})
    assert chart.count("<circle") == 6
    assert "shift, 0.5: 60.0" in chart


def test_the_design_that_adds_a_class_stands_beside_the_first() -> None:
    record = {"class_design": {"as_given": design(0.4), "with_child": design(0.1)}}
    ((kind, attribute, chart),) = design_charts(read_task("x", record))
    assert (kind, attribute) == (HOSTILE, "age")
    assert (chart.count('class="dot"'), chart.count('class="hollow"')) == (2, 2)
    assert design_charts(read_task("x", {})) == []


def test_one_design_alone_has_no_rings() -> None:
    ((_, _, chart),) = design_charts(read_task("x", {"class_design": {"as_given": design(0.4)}}))
    assert chart.count('class="hollow"') == 0
    assert "40.0  n=40" in chart
