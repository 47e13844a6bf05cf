"""The results as tables: one row a measure, its task's headline first.

    results.md    GitHub's Markdown       results.csv   full precision, for programs
    results.tex   booktabs, to be \\input   — all with task, metric, value, bounds and n

Values are shares; Markdown and LaTeX show them in percent.
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence

from diagonal_eval.suite_report.record import Measure, TaskRecord
from diagonal_train.exporting.escaping import csv_text, latex_text, markdown_text

HEADER = ("task", "metric", "value", "ci_low", "ci_high", "n")
UNKNOWN = "–"


def markdown_table(tasks: Sequence[TaskRecord]) -> str:
    """In percent; the headline of each task is bold."""
    lines = ["| task | metric | value, % | 95 % low | 95 % high | n |", "|---|---|--:|--:|--:|--:|"]
    for task, measure in _rows(tasks):
        name, metric, value, low, high = _cells(task, measure, markdown_text)
        shown = f"**{value}**" if measure is task.headline else value
        lines.append(f"| {name} | {metric} | {shown} | {low} | {high} | {measure.n:,} |")
    return "\n".join(lines) + "\n"


def latex_table(tasks: Sequence[TaskRecord]) -> str:
    """A tabular for booktabs."""
    lines = [
        "% needs \\usepackage{booktabs}; names beyond Latin letters need XeLaTeX or LuaLaTeX",
        "\\begin{tabular}{llrrrr}",
        "\\toprule",
        "task & metric & value & \\multicolumn{2}{c}{95\\,\\% interval} & $n$ \\\\",
        "\\midrule",
    ]
    for task, measure in _rows(tasks):
        name, metric, value, low, high = _cells(task, measure, latex_text)
        shown = f"\\textbf{{{value}}}" if measure is task.headline else value
        line = f"{name} & {metric} & {shown} & {low} & {high} & {measure.n} \\\\"
        lines.append(line.replace(UNKNOWN, "--"))
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


def csv_table(tasks: Sequence[TaskRecord]) -> str:
    """With every digit; a number that is unknown is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for task, measure in _rows(tasks):
        bounds = measure.interval or ("", "")
        value = "" if measure.value is None else measure.value
        names = csv_text(task.name), csv_text(measure.name)
        writer.writerow((*names, value, *bounds, measure.n))
    return text.getvalue()


def in_percent(share: float | None) -> str:
    """`62.5`; a dash for what is unknown."""
    return UNKNOWN if share is None else f"{100 * share:.1f}"


def _rows(tasks: Sequence[TaskRecord]) -> Iterator[tuple[TaskRecord, Measure]]:
    for task in tasks:
        for measure in task.measures:
            yield task, measure


def _cells(
    task: TaskRecord, measure: Measure, escaped: Callable[[str], str]
) -> tuple[str, str, str, str, str]:
    low, high = measure.interval or (None, None)
    return (
        escaped(task.name),
        escaped(measure.name),
        in_percent(measure.value),
        in_percent(low),
        in_percent(high),
    )
