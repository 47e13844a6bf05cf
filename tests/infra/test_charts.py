import re

import pytest

from diagonal_infra.charts import (
    Series,
    line_chart,
    log_ticks,
    median_around,
    nice_ticks,
    short_number,
)


@pytest.mark.parametrize("count", [1, 2, 5000])
def test_lines_of_any_length_are_drawn_and_thinned(count: int) -> None:
    xs = [float(x) for x in range(count)]
    line = Series(xs=xs, ys=[1 / (x + 1) for x in xs])
    chart = line_chart([line], x_label="x & y", y_label="loss")
    assert "x &amp; y" in chart
    assert chart.count(",") < 1500
    assert "nan" not in chart


def test_ticks_are_round_and_span_the_range() -> None:
    assert nice_ticks(0.0, 1.0) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert nice_ticks(0.13, 2.9) == [0.0, 1.0, 2.0, 3.0]
    assert nice_ticks(5.0, 5.0) == [5.0]
    assert [short_number(n) for n in (0.05, 30_000, 1_200_000)] == ["0.05", "30k", "1.2M"]


def test_equal_factors_lie_equally_far_apart_on_a_logarithmic_axis() -> None:
    line = Series(xs=[1.0, 4.0, 16.0], ys=[0.0, 1.0, 2.0])
    chart = line_chart([line], x_label="", y_label="", smooth=False, log_x=True)
    points = re.findall(r'points="(.*?)"', chart)[0].split()
    first, second, third = (float(point.partition(",")[0]) for point in points)
    assert second - first == pytest.approx(third - second)
    assert all(f">{tick}</text>" in chart for tick in (1, 2, 4, 8, 16))


def test_ticks_of_many_decades_are_powers_of_ten() -> None:
    assert log_ticks(2.0, 1000.0) == [1.0, 10.0, 100.0, 1000.0]
    assert log_ticks(3.0, 3.0) == [2.0, 4.0]


def test_each_line_has_its_colour_and_its_smooth_one_above_all() -> None:
    lines = [Series(xs=[0.0, 1.0], ys=[0.0, 1.0], colour=colour) for colour in (0, 9)]
    chart = line_chart(lines, x_label="", y_label="")
    order = [chart.index(f'"{kind}"') for kind in ("raw c0", "raw c1", "curve c0", "curve c1")]
    assert order == sorted(order)
    assert "raw" not in line_chart(lines, x_label="", y_label="", smooth=False)


def test_a_single_spike_is_not_in_the_smooth_line() -> None:
    values = [1.0] * 50 + [100.0] + [1.0] * 50
    assert [median_around(values, index) for index in (0, 50, 100)] == [1.0, 1.0, 1.0]
