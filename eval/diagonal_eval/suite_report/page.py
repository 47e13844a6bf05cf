"""report.html: one file that opens offline; pictures are data URIs, charts inline SVG, no script.

Names, labels and keys come from strangers: the template escapes whatever is not marked as HTML, and
isolates it, so that right-to-left text does not reorder what stands beside it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from diagonal_eval import dot_charts
from diagonal_eval.intervals import Interval
from diagonal_eval.page_templates import environment
from diagonal_eval.suite_report import plots
from diagonal_eval.suite_report.curves import design_charts, few_shot_chart, fine_tuning_chart
from diagonal_eval.suite_report.matrices import MOST_DRAWN, confusion_matrix, matrix_picture
from diagonal_eval.suite_report.pictures import ReadPicture, shown_confusions
from diagonal_eval.suite_report.predictions import read_predictions
from diagonal_eval.suite_report.provenance import model_name, provenance
from diagonal_eval.suite_report.record import Measure, TaskRecord, read_tasks
from diagonal_eval.suite_report.robustness import robustness_charts
from diagonal_eval.suite_report.tables import UNKNOWN, in_percent
from diagonal_infra.html_page import html_page
from diagonal_train.exporting.records import shown_address

HERE = Path(__file__).parent
Similarity = tuple[Sequence[str], NDArray[np.floating]]
"""Class names, and the cosines between their embeddings."""
MOST_MATRICES, MOST_HARDEST = 4, 8

STYLE = (
    dot_charts.STYLE
    + """
.strip { display: flex; flex-wrap: wrap; gap: 8px; margin: 0 0 14px; }
.strip img, .strip .none { width: 96px; height: 96px; object-fit: contain; border-radius: 6px;
  border: 1px solid var(--line); background: #fff; }
.strip .none { display: grid; place-items: center; color: var(--muted); font-size: 12px;
  background: none; }
.confusion { margin: 10px 0 6px; overflow-wrap: anywhere; }
.missed { color: var(--bad); }
img.matrix { max-width: 100%; image-rendering: pixelated; }
table.text td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 150px; }
summary { cursor: pointer; padding: 5px 0; overflow-wrap: anywhere; }
"""
)


def report_html(
    output: str, results: Mapping[str, Any], picture: ReadPicture, similarity: Similarity | None
) -> str:
    """The whole page."""
    tasks = read_tasks(results)
    name = model_name(results)
    step = results.get("checkpoint_step")
    body = (
        environment(HERE / "templates")
        .get_template("report.html")
        .render(
            name=name,
            step=f"{step:,}" if isinstance(step, int) else "unknown",
            style=Markup(STYLE),
            tasks=tasks,
            absent={**(results.get("absent") or {}), **(results.get("refused") or {})},
            headline_chart=Markup(plots.headline_chart(tasks)),
            template_chart=Markup(plots.template_chart(tasks)),
            retrieval=plots.recall_rows(tasks),
            robustness=robustness_charts(results.get("robustness") or {}),
            few_shot=_few_shot(tasks),
            designs=_designs(tasks),
            reliability=_reliability(tasks),
            similarity=_similarity(similarity),
            matrices=_matrices(output, tasks),
            confusions=shown_confusions(tasks, picture),
            groups=_groups(tasks),
            hardest={task.name: _hardest(task) for task in tasks},
            provenance=provenance(results),
            percent=in_percent,
            interval=interval_text,
            address=shown_address,
        )
    )
    return html_page(f"Evaluation of {name}", body)


def fine_tuning_html(record: Mapping[str, Any]) -> str:
    """The page of `fine-tune`: its curves, and what they are of."""
    name = model_name(record)
    body = (
        environment(HERE / "templates")
        .get_template("fine_tuning.html")
        .render(
            name=name,
            style=Markup(STYLE),
            target=record["target"],
            chart=Markup(fine_tuning_chart(record)),
            curves=record["curves"],
            alphas=record["alphas"],
            provenance=provenance(record),
            percent=in_percent,
            interval=interval_text,
        )
    )
    return html_page(f"Fine-tuning of {name}", body)


def interval_text(interval: Interval | None) -> str:
    """`[58.1, 66.7]`, in percent."""
    return UNKNOWN if interval is None else "[{:.1f}, {:.1f}]".format(*(100 * b for b in interval))


def _few_shot(tasks: Sequence[TaskRecord]) -> list[dict[str, Any]]:
    drawn = [(task, few_shot_chart(task)) for task in tasks]
    return [{"name": task.name, "chart": Markup(chart)} for task, chart in drawn if chart]


def _designs(tasks: Sequence[TaskRecord]) -> list[dict[str, Any]]:
    return [
        {"name": task.name, "kind": kind, "attribute": attribute, "chart": Markup(chart)}
        for task in tasks
        for kind, attribute, chart in design_charts(task)
    ]


def _reliability(tasks: Sequence[TaskRecord]) -> list[dict[str, Any]]:
    drawn = [(task, plots.reliability_diagram(task.bins)) for task in tasks]
    return [
        {"name": task.name, "ece": task.ece, "chart": Markup(chart)}
        for task, chart in drawn
        if chart
    ]


def _groups(tasks: Sequence[TaskRecord]) -> list[dict[str, Any]]:
    return [
        {
            "name": task.name,
            "attribute": attribute,
            "chart": Markup(plots.group_chart(measures)),
            "gap": task.gaps.get(attribute),
        }
        for task in tasks
        for attribute, measures in task.groups.items()
        if measures
    ]


def _hardest(task: TaskRecord) -> list[Measure]:
    known = [measure for measure in task.per_class if measure.value is not None]
    return sorted(known, key=lambda m: (m.value, m.name))[:MOST_HARDEST]


def _matrices(output: str, tasks: Sequence[TaskRecord]) -> list[dict[str, Any]]:
    """Of the tasks with few classes."""
    found = []
    for task in tasks:
        if task.kind != "classification" or len(found) == MOST_MATRICES:
            continue
        predictions = read_predictions(output, task.name)
        order = [measure.name for measure in task.per_class]
        counted = None if predictions is None else confusion_matrix(predictions, order)
        if counted is not None:
            picture = matrix_picture(
                *counted, alt=f"confusions of {task.name}", low=0, high=1, shown="{:.1%}".format
            )
            found.append({"name": task.name, "picture": Markup(picture)})
    return found


def _similarity(similarity: Similarity | None) -> dict[str, Any] | None:
    if similarity is None or not len(similarity[0]):
        return None
    names, cosine_CC = similarity
    finite = cosine_CC[np.isfinite(cosine_CC)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    picture = matrix_picture(
        names, cosine_CC, alt="similarity of the classes", low=low, high=high, shown="{:.3f}".format
    )
    return {
        "picture": Markup(picture),
        "low": low,
        "high": high,
        "cut": len(names) > MOST_DRAWN,
        "drawn": MOST_DRAWN,
        "classes": len(names),
    }
