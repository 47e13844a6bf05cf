"""The report's charts, out of the records; each is empty where the record has nothing to draw."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from diagonal_eval.dot_charts import Mark, Row, dot_chart
from diagonal_eval.suite_report.record import Measure, TaskRecord, finite
from diagonal_eval.suite_report.tables import in_percent
from diagonal_infra.charts import HEIGHT, WIDTH, Axes, svg

RETRIEVAL_AT = (1, 5, 10)
DOT_PIXELS, LARGEST_DOT = 3.0, 9.0


def headline_chart(tasks: Sequence[TaskRecord]) -> str:
    """The headline of every task with its interval and chance, the best on top."""
    known = [task for task in tasks if task.headline.value is not None]
    known.sort(key=lambda task: (-(task.headline.value or 0), task.name))
    rows = [
        Row(
            label=task.name,
            text=f"{in_percent(task.headline.value)}  n={task.headline.n:,}  {task.metric}",
            marks=[*_chance(task), _dot(task.headline, task.metric)],
            interval=task.headline.interval,
        )
        for task in known
    ]
    return dot_chart(rows, low=0, high=1) if rows else ""


def template_chart(tasks: Sequence[TaskRecord]) -> str:
    """Per task: every template alone, the bare label and the ensemble."""
    rows = []
    for task in tasks:
        alone = [measure for measure in task.per_template if measure.value is not None]
        if not alone:
            continue
        values = [measure.value or 0 for measure in alone]
        marks = [_dot(measure, measure.name, "small") for measure in alone]
        if task.bare_label and task.bare_label.value is not None:
            marks.append(_dot(task.bare_label, "bare label", "hollow"))
        if task.headline.value is not None:
            marks.append(_dot(task.headline, "ensemble"))
        number = "1 template" if len(alone) == 1 else f"{len(alone)} templates"
        spread = f"{in_percent(min(values))}–{in_percent(max(values))}  {number}"
        rows.append(Row(label=task.name, text=spread, marks=marks))
    return dot_chart(rows, low=0, high=1) if rows else ""


def group_chart(measures: Sequence[Measure]) -> str:
    """One attribute's values with intervals, as the record orders them."""
    rows = [
        Row(
            label=measure.name,
            text=f"{in_percent(measure.value)}  n={measure.n:,}",
            marks=[] if measure.value is None else [_dot(measure, measure.name)],
            interval=None if measure.value is None else measure.interval,
        )
        for measure in measures
    ]
    return dot_chart(rows, low=0, high=1) if rows else ""


def reliability_diagram(bins: Sequence[Mapping[str, Any]]) -> str:
    """Accuracy against confidence, a dot a bin, its area the bin's share; the line is perfect."""
    points = [
        (confidence, accuracy, int(part["n"]))
        for part in bins
        if (confidence := finite(part.get("confidence"))) is not None
        and (accuracy := finite(part.get("accuracy"))) is not None
    ]
    if not points:
        return ""
    axes = Axes([0, 1], [0, 1])
    (left, bottom), (right, top) = axes.place(0, 0), axes.place(1, 1)
    parts = [
        axes.drawn("confidence", "share that is right"),
        f'<line class="zero" x1="{left:.1f}" y1="{bottom:.1f}" x2="{right:.1f}" y2="{top:.1f}"/>',
    ]
    most = max(n for _, _, n in points)
    for confidence, accuracy, n in points:
        x, y = axes.place(confidence, accuracy)
        size = DOT_PIXELS + (LARGEST_DOT - DOT_PIXELS) * (n / most) ** 0.5
        title = f"confidence {confidence:.3f}, right {accuracy:.3f}, n = {n:,}"
        parts.append(
            f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}">'
            f"<title>{title}</title></circle>"
        )
    return svg(WIDTH, HEIGHT, "".join(parts))


def recall_rows(tasks: Sequence[TaskRecord]) -> list[tuple[str, str, list[Measure | None], int]]:
    """Per retrieval task and direction: recall@1, @5, @10 and n."""
    rows = []
    for task in tasks:
        found = {measure.name: measure for measure in task.measures}
        for direction, shown in (("image", "text → image"), ("text", "image → text")):
            names = [f"{direction}_retrieval_recall@{k}" for k in RETRIEVAL_AT]
            measures = [found.get(name) for name in names]
            if any(measures):
                rows.append((task.name, shown, measures, task.n))
    return rows


def scatter(
    points: Sequence[tuple[float, float, str, str]],
    line: Sequence[tuple[float, float]],
    *,
    x_label: str,
    y_label: str,
) -> str:
    """Points (x, y, name, kind of mark) and a fitted line through sorted points."""
    xs = [point[0] for point in points] + [point[0] for point in line]
    ys = [point[1] for point in points] + [point[1] for point in line]
    axes = Axes([*xs, 0], [*ys, 0])
    (left, bottom), end = axes.place(0, 0), min(max(xs), max(ys))
    right, top = axes.place(end, end)
    parts = [
        axes.drawn(x_label, y_label),
        f'<line class="zero" x1="{left:.1f}" y1="{bottom:.1f}" x2="{right:.1f}" y2="{top:.1f}"/>',
    ]
    if line:
        path = " ".join("{:.1f},{:.1f}".format(*axes.place(x, y)) for x, y in line)
        parts.append(f'<polyline class="curve" points="{path}"/>')
    for x, y, name, kind in points:
        across, up = axes.place(x, y)
        title = f"{name}: {in_percent(x)} → {in_percent(y)}"
        parts.append(
            f'<circle class="{kind}" cx="{across:.1f}" cy="{up:.1f}" r="4.5">'
            f"<title>{escape(title)}</title></circle>"
        )
    return svg(WIDTH, HEIGHT, "".join(parts))


def _dot(measure: Measure, name: str, kind: Any = "dot") -> Mark:
    assert measure.value is not None
    return Mark(value=measure.value, kind=kind, title=f"{name}: {in_percent(measure.value)}")


def _chance(task: TaskRecord) -> list[Mark]:
    if task.chance is None:
        return []
    return [Mark(value=task.chance, kind="chance", title=f"chance: {in_percent(task.chance)}")]
