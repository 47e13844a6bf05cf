import json

import pytest

from diagonal_infra.html_page import POLICY
from diagonal_infra.planner.config import ClusterModel, Pictures
from diagonal_infra.planner.costs import Line
from diagonal_infra.planner.report import as_json, page, shown, sweep_chart
from diagonal_infra.planner.sweep import sweep

LINES = [
    Line(
        part="scrape",
        name="candidates",
        value=1_234.5,
        unit="URLs",
        assumption="<all> good",
        source="given",
    )
]
CLUSTER = ClusterModel(workers=(1, 2, 4), seconds=60.0)
PICTURES = Pictures(success_share=0.6, cpu_seconds=0.01, kilobytes=100)


@pytest.mark.parametrize(
    ("value", "text"), [(1_234.5, "1,234"), (12.34, "12.3"), (1.234, "1.2"), (0.0456, "0.046")]
)
def test_numbers_have_as_many_digits_as_are_known(value: float, text: str) -> None:
    assert shown(value) == text


def test_the_page_escapes_and_asks_for_nothing_outside() -> None:
    runs = list(sweep(CLUSTER, PICTURES))
    text = page("a <plan>", LINES, runs, CLUSTER, PICTURES)
    assert "&lt;all&gt; good" in text
    assert "a &lt;plan&gt;" in text
    assert POLICY in text
    assert text.count("<svg") == 1


def test_the_chart_has_the_simulated_line_and_the_bounds_that_it_meets() -> None:
    runs = list(sweep(CLUSTER, PICTURES))
    chart = sweep_chart(runs, CLUSTER, PICTURES)
    assert 'class="c0">simulated' in chart
    assert "cpu alone" in chart
    # 40 Gbit/s carry far more than four workers ask for.
    assert "bandwidth alone" not in chart


def test_the_plan_without_a_simulation_is_lines_only() -> None:
    assert "<svg" not in page("plan", LINES, [], CLUSTER, PICTURES)
    assert as_json(LINES, []) == {"lines": [json.loads(json.dumps(vars(LINES[0])))]}
