"""Curves of one run or several, drawn into one page that needs nothing else.

    python -m diagonal_train.report out/demo/run
    python -m diagonal_train.report out/runs/a out/runs/b --output out/runs.html --x wall-seconds

Thin lines are what was recorded, thick ones their moving median. The page holds the runs' records
and nothing of when or where it was made: the same runs give the same bytes.
"""

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

from diagonal_infra import storage
from diagonal_infra.charts import NUM_COLOURS, Series, line_chart, short_number
from diagonal_infra.cli import Positional, run_command
from diagonal_infra.errors import UserError, require
from diagonal_infra.html_page import html_page
from diagonal_train.config.compare import flatten
from diagonal_train.watching.metrics import read_metrics

X_FIELDS = {"samples": ("samples_seen", "samples seen"), "seconds": ("wall_seconds", "seconds")}
CURVES = {
    "loss": "Loss",
    "lr": "Learning rate",
    "samples_per_second": "Samples per second",
    "data_wait_share": "Share of time spent waiting for data",
    "mfu": "Model FLOPs utilisation",
    "grad_norm": "Length of the gradient",
    "update_norm": "Length of the update",
    "logit_scale": "Logit scale",
    "logit_positive_mean": "Mean logit of pairs",
    "logit_hardest_mean": "Mean logit of hardest negatives",
    "text_padding_share": "Share of text positions that are padding",
    "peak_memory_bytes": "Peak memory, bytes",
}
"""What is drawn first, in this order; probes follow. Fields that no run has are left out."""
NOT_DRAWN = {"probe_samples", "probe_texts", "probe_classes", "probe_zeroshot_samples"}
MAX_DIFFERENCES = 40
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """Runs in, a page out."""

    runs: Positional[tuple[str, ...]]
    """Run folders; a run that still goes may be among them."""
    output: str = "report.html"
    """The page."""
    x: Literal["samples", "seconds"] = "samples"
    """What curves are drawn over: samples seen, or the run's own wall time."""

    def __post_init__(self) -> None:
        require(len(self.runs) > 0, "name at least one run folder")


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run folder tells."""

    name: str
    lines: Sequence[dict[str, Any]]
    settings: dict[str, Any]
    """Its configuration, flat."""


def main(config: ReportConfig) -> None:
    """Write the page."""
    runs = [read_run(run) for run in config.runs]
    page = report_html(runs, x=config.x)
    storage.write_bytes(config.output, page.encode())
    logger.info("wrote report=%s runs=%d", config.output, len(runs))


def read_run(run: str) -> Run:
    """The records of a run.

    Raises:
        UserError: it has none.
    """
    lines = read_metrics(storage.join(run, "metrics.jsonl"))
    if not lines:
        raise UserError(f"no records at {run!r} (no metrics.jsonl, or an empty one); is it a run?")
    path = storage.join(run, "config.json")
    record = json.loads(storage.read_bytes(path))["config"] if storage.exists(path) else {}
    return Run(name=run, lines=lines, settings=flatten(record))


def report_html(runs: Sequence[Run], *, x: Literal["samples", "seconds"] = "samples") -> str:
    """The whole page."""
    sections = [_section("Runs", _table(runs))]
    if len(runs) > 1:
        sections.append(_section("What differs", _differences(runs)))
    legend = _legend(runs)
    for field, title in fields_of(runs).items():
        chart = _chart(runs, field, x)
        if chart:
            sections.append(_section(title, legend + chart))
    title = "Diagonal: training runs"
    return html_page(title, f"<h1>{title}</h1>{''.join(sections)}")


def fields_of(runs: Sequence[Run]) -> dict[str, str]:
    """The fields to draw, with their titles: the known ones, then probes, then stage times."""
    found = {name for run in runs for line in run.lines for name in line}
    others = sorted(n for n in found - NOT_DRAWN if n.startswith(("probe_", "seconds_")))
    titles = {name: name.replace("_", " ").capitalize() for name in others}
    return {name: title for name, title in CURVES.items() if name in found} | titles


def curve(run: Run, field: str, x_field: str) -> tuple[list[float], list[float]]:
    """The points of a run where both numbers are known and finite."""
    points = [
        (line[x_field], line[field])
        for line in run.lines
        if _is_number(line.get(x_field), line.get(field))
    ]
    return [x for x, _ in points], [y for _, y in points]


def _is_number(*values: Any) -> bool:
    return all(isinstance(value, int | float) and math.isfinite(value) for value in values)


def _chart(runs: Sequence[Run], field: str, x: Literal["samples", "seconds"]) -> str:
    x_field, x_label = X_FIELDS[x]
    series = []
    for number, run in enumerate(runs):
        xs, ys = curve(run, field, x_field)
        if xs:
            series.append(Series(xs=xs, ys=ys, colour=number))
    # A median of few points hides what they are.
    smooth = not field.startswith("probe_") and field != "lr"
    return line_chart(series, x_label=x_label, y_label="", smooth=smooth) if series else ""


def _section(title: str, inner: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{inner}</section>"


def _legend(runs: Sequence[Run]) -> str:
    entries = "".join(
        f'<span class="c{number % NUM_COLOURS}">{escape(run.name)}</span>'
        for number, run in enumerate(runs)
    )
    return f'<div class="legend">{entries}</div>'


def _table(runs: Sequence[Run]) -> str:
    heads = ("run", "steps", "samples", "last loss", "samples/s", "waiting", "R@1 i→t", "hours")
    rows = [heads, *(_row(run) for run in runs)]
    return _html_table(rows)


def _row(run: Run) -> tuple[str, ...]:
    last = run.lines[-1]
    _, speeds = curve(run, "samples_per_second", "step")
    _, waits = curve(run, "data_wait_share", "step")
    _, recalls = curve(run, "probe_image_to_text_recall_at_1", "step")
    loss = last.get("loss")
    return (
        run.name,
        f"{last['step']:,}",
        short_number(last.get("samples_seen", 0)),
        f"{loss:.4f}" if _is_number(loss) else "–",
        f"{sorted(speeds)[len(speeds) // 2]:,.0f}" if speeds else "–",
        f"{sorted(waits)[len(waits) // 2]:.1%}" if waits else "–",
        f"{recalls[-1]:.1%}" if recalls else "–",
        f"{last.get('wall_seconds', 0) / 3600:.2f}",
    )


def _differences(runs: Sequence[Run]) -> str:
    names = sorted({name for run in runs for name in run.settings})
    rows = [("flag", *(run.name for run in runs))]
    for name in names:
        values = [str(run.settings.get(name, "–")) for run in runs]
        if len(set(values)) > 1:
            rows.append((f"--{name.replace('_', '-')}", *values))
    if len(rows) == 1:
        return '<p class="note">Nothing but chance: the runs have the same settings.</p>'
    return _html_table(rows[: MAX_DIFFERENCES + 1])


def _html_table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in body
    )
    return f'<div class="scroll"><table><tr>{cells}</tr>{lines}</table></div>'


if __name__ == "__main__":
    run_command(main, ReportConfig, description=__doc__)
