"""Curves with a whisker at every point, and the charts of few-shot probes and of WiSE-FT.

Few-shot accuracy over pictures per class; accuracy of each set over the share of the fine-tuned
weights; where a class design sends the pictures of each group, with the design that adds a class
as a ring beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from diagonal_eval.dot_charts import Mark, Row, dot_chart
from diagonal_eval.intervals import Interval
from diagonal_eval.suite_report.record import Measure, TaskRecord, as_interval, finite
from diagonal_eval.suite_report.tables import in_percent
from diagonal_infra.charts import HEIGHT, NUM_COLOURS, WIDTH, Axes, svg


@dataclass(frozen=True, kw_only=True)
class Point:
    """One number and its interval."""

    x: float
    y: float
    interval: Interval | None = None
    title: str = ""
    """Tooltip."""


def curves_chart(
    curves: Mapping[str, Sequence[Point]], *, x_label: str, y_label: str, log_x: bool = False
) -> str:
    """Curves by name on common axes, whose names stand above if there are several.

    Args:
        curves: each has at least one point, xs rising.
        x_label: under the axis.
        y_label: above the axis.
        log_x: equal factors lie equally far apart.
    """
    points = [point for curve in curves.values() for point in curve]
    heights = [height for point in points for height in (point.y, *(point.interval or ()))]
    axes = Axes([point.x for point in points], heights, log_x=log_x)
    parts = [axes.drawn(x_label, y_label)]
    for place, curve in enumerate(curves.values()):
        parts.append(f'<g class="c{place % NUM_COLOURS}">{_curve(curve, axes)}</g>')
    chart = svg(WIDTH, HEIGHT, "".join(parts))
    if len(curves) == 1:
        return chart
    keys = "".join(
        f'<span class="c{place % NUM_COLOURS}"><bdi>{escape(name)}</bdi></span>'
        for place, name in enumerate(curves)
    )
    return f'<div class="legend">{keys}</div>{chart}'


def few_shot_chart(task: TaskRecord) -> str:
    """Of one task; empty where it has no such curve."""
    points = [
        Point(x=shots, y=measure.value, interval=measure.interval, title=_shots(shots, measure))
        for shots, measure in task.few_shot
        if measure.value is not None
    ]
    if not points:
        return ""
    name = task.few_shot[0][1].name
    return curves_chart({name: points}, x_label="pictures per class", y_label=name, log_x=True)


def fine_tuning_chart(record: Mapping[str, Any]) -> str:
    """Every set's accuracy between the zero-shot weights (0) and the fine-tuned ones (1).

    Args:
        record: results.json of `fine-tune`.
    """
    curves = {}
    for name, curve in record["curves"].items():
        rows = zip(record["alphas"], curve["acc1"], curve["ci95"], strict=True)
        curves[name] = [
            Point(
                x=alpha,
                y=value,
                interval=as_interval(bounds),
                title=f"{name}, {alpha:g}: {in_percent(value)}",
            )
            for alpha, value, bounds in rows
            if finite(value) is not None
        ]
    return curves_chart(curves, x_label="share of the fine-tuned weights", y_label="acc1")


def design_charts(task: TaskRecord) -> list[tuple[str, str, str]]:
    """Kind, attribute and chart: the share of each group's pictures that falls to the kind.

    The first design is a dot with its interval, the others are rings.
    """
    if not task.designs:
        return []
    (first, kinds), *others = task.designs.items()
    found = []
    for kind, groups in kinds.items():
        for attribute, measures in groups.items():
            rings = {
                design: {m.name: m for m in its_kinds.get(kind, {}).get(attribute, ())}
                for design, its_kinds in others
            }
            rows = [_group_row(first, measure, rings) for measure in measures]
            if any(row.marks for row in rows):
                found.append((kind, attribute, dot_chart(rows, low=0, high=1)))
    return found


def _group_row(design: str, measure: Measure, rings: Mapping[str, Mapping[str, Measure]]) -> Row:
    marks = [] if measure.value is None else [_mark(measure, design, "dot")]
    shown = [in_percent(measure.value)]
    for other, by_group in rings.items():
        again = by_group.get(measure.name)
        if again is not None and again.value is not None:
            marks.append(_mark(again, other, "hollow"))
            shown.append(in_percent(again.value))
    return Row(
        label=measure.name,
        text=f"{' → '.join(shown)}  n={measure.n:,}",
        marks=marks,
        interval=None if measure.value is None else measure.interval,
    )


def _mark(measure: Measure, design: str, kind: Any) -> Mark:
    assert measure.value is not None
    return Mark(value=measure.value, kind=kind, title=f"{design}: {in_percent(measure.value)}")


def _shots(shots: int, measure: Measure) -> str:
    return f"{shots} of each class: {in_percent(measure.value)}"


def _curve(points: Sequence[Point], axes: Axes) -> str:
    places = [axes.place(point.x, point.y) for point in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = [f'<polyline class="curve" points="{path}"/>']
    for point, (x, y) in zip(points, places, strict=True):
        if point.interval is not None:
            low, high = (axes.place(point.x, bound)[1] for bound in point.interval)
            parts.append(f'<path class="whisker" d="M{x:.1f} {low:.1f}V{high:.1f}"/>')
        title = f"<title>{escape(point.title)}</title>"
        parts.append(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4">{title}</circle>')
    return "".join(parts)
