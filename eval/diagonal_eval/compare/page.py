"""compare.html: the verdict, a forest plot, and samples that changed; opens offline."""

from pathlib import Path
from typing import Any

from markupsafe import Markup

from diagonal_eval import dot_charts
from diagonal_eval.compare.outcome import Comparison, comparison_json, remarks
from diagonal_eval.compare.tasks import RIGHT_TO_WRONG, WRONG_TO_RIGHT, TaskDifference
from diagonal_eval.dot_charts import Mark, Row, dot_chart
from diagonal_eval.page_templates import environment
from diagonal_infra.html_page import html_page

HERE = Path(__file__).parent
CHANGES = {WRONG_TO_RIGHT: "wrong in A, right in B", RIGHT_TO_WRONG: "right in A, wrong in B"}
KINDS = {"B is better": "better", "B is worse": "worse"}
LEAST_HALF_WIDTH = 0.02
"""Of the axis of differences: a plot of zeros has a width too."""

STYLE = (
    dot_charts.STYLE
    + """
table.text th, table.text td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 150px; }
.better { color: var(--good); } .worse { color: var(--bad); }
summary { cursor: pointer; padding: 5px 0; overflow-wrap: anywhere; }
"""
)


def comparison_html(found: Comparison, *, changed_shown: int) -> str:
    """The whole page."""
    record = comparison_json(found)
    body = (
        environment(HERE / "templates")
        .get_template("compare.html")
        .render(
            style=Markup(STYLE),
            record=record,
            tasks=found.tasks,
            forest=Markup(forest_chart(found)),
            remarks=remarks(found),
            changed={task.name: _changed(task, changed_shown) for task in found.tasks},
            kind=KINDS.get,
            percent=lambda share: f"{100 * share:.1f}",
            points=lambda share: f"{100 * share:+.1f}",
        )
    )
    return html_page(f"{record['a']['model']} and {record['b']['model']}", body)


def forest_chart(found: Comparison) -> str:
    """Every task's difference with its interval, the largest gain on top, then the mean."""
    tasks = sorted(found.tasks, key=lambda task: (-task.difference, task.name))
    rows = [
        Row(
            label=task.name,
            text=f"{100 * task.difference:+.1f}  {task.verdict}",
            marks=[Mark(value=task.difference, title=f"{100 * task.difference:+.2f} points")],
            interval=task.interval,
            muted=task.verdict == "no difference shown",
        )
        for task in tasks
    ]
    mean = found.overall
    rows.append(
        Row(
            label="mean over the tasks",
            text=f"{100 * mean.difference:+.1f}",
            marks=[Mark(value=mean.difference, kind="hollow")],
            interval=mean.interval,
        )
    )
    reach = max([LEAST_HALF_WIDTH, *(abs(b) for row in rows for b in row.interval or ())])
    return dot_chart(rows, low=-reach, high=reach, zero=True, signed=True)


def _changed(task: TaskDifference, most: int) -> list[dict[str, Any]]:
    """Per direction: its count, and the first samples."""
    rows = task.changed.to_pylist()
    parts = []
    for change, shown in CHANGES.items():
        of_it = [row for row in rows if row["change"] == change]
        parts.append({"title": shown, "count": len(of_it), "rows": of_it[:most]})
    return parts
