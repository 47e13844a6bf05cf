"""The plan for people and pipes: tables on stdout, one JSON object, a page with a chart."""

from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from typing import Any

from rich.table import Table

from diagonal_infra.charts import Series, line_chart
from diagonal_infra.html_page import html_page
from diagonal_infra.planner.bounds import bounds
from diagonal_infra.planner.config import ClusterModel, Pictures
from diagonal_infra.planner.costs import Line
from diagonal_infra.planner.outcome import Simulated
from diagonal_infra.planner.sweep import workers_that_help

SHARES = {
    "cpu": "cpu_share",
    "link": "bandwidth_share",
    "slots waiting": "latency_share",
    "idle: hosts": "hosts_share",
    "idle: unit ends": "ends_share",
    "work lost": "lost_share",
}
BOUNDS = ("cpu", "latency", "hosts", "bandwidth")
CHART_MARGIN = 1.5
"""Bounds that are higher than this times the highest rate are not drawn to the end."""


def shown(value: float) -> str:
    """`1,234`, `12.3`, `0.045`."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2g}"


def lines_table(title: str, lines: Sequence[Line]) -> Table:
    """Every line; a rule between the parts."""
    table = Table(title=title, title_justify="left")
    for name in ("", "how much", "assumption", "source"):
        table.add_column(name, justify="right" if name == "how much" else "left")
    for line, after in zip(lines, [*lines[1:], None], strict=True):
        table.add_row(
            line.name,
            f"{shown(line.value)} {line.unit}".strip(),
            line.assumption,
            line.source,
            end_section=after is None or after.part != line.part,
        )
    return table


def sweep_rows(runs: Sequence[Simulated]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table of simulated runs."""
    head = ["workers", "URLs/s", "pictures/s", "limit", *SHARES]
    rows = [
        [
            f"{run.workers:,}",
            shown(run.candidates_per_second),
            shown(run.pictures_per_second),
            run.limit,
            *(f"{getattr(run, field):.0%}" for field in SHARES.values()),
        ]
        for run in runs
    ]
    return head, rows


def sweep_table(runs: Sequence[Simulated]) -> Table:
    """Rates, what limits, and where time and slots go."""
    head, rows = sweep_rows(runs)
    title = f"simulated cluster: beyond {workers_that_help(runs):,} workers little is gained"
    table = Table(title=title, title_justify="left")
    for name in head:
        table.add_column(name, justify="left" if name == "limit" else "right")
    for row in rows:
        table.add_row(*row)
    return table


def as_json(lines: Sequence[Line], runs: Sequence[Simulated]) -> dict[str, Any]:
    """The plan as one object."""
    record: dict[str, Any] = {"lines": [asdict(line) for line in lines]}
    if runs:
        fields = ("workers", "candidates_per_second", "pictures_per_second", *SHARES.values())
        record["simulated"] = [
            {name: getattr(run, name) for name in fields} | {"limit": run.limit} for run in runs
        ]
    return record


def page(
    title: str,
    lines: Sequence[Line],
    runs: Sequence[Simulated],
    cluster: ClusterModel,
    pictures: Pictures,
) -> str:
    """Tables and chart as one HTML file."""
    body = f"<h1>{escape(title)}</h1>"
    body += _section("What it takes", _lines(lines))
    if runs:
        note = f"<p>Beyond {workers_that_help(runs):,} workers little is gained.</p>"
        chart = sweep_chart(runs, cluster, pictures)
        body += _section("Where scraping saturates", note + chart + _table(*sweep_rows(runs)))
    return html_page(title, body)


def sweep_chart(runs: Sequence[Simulated], cluster: ClusterModel, pictures: Pictures) -> str:
    """Simulated rate over workers, and what each resource alone would allow."""
    xs = [float(run.workers) for run in runs]
    rates = [run.candidates_per_second for run in runs]
    top = CHART_MARGIN * max(rates)
    allowed = [bounds(cluster, pictures, run.workers) for run in runs]
    series, names = [Series(xs=xs, ys=rates)], ["simulated"]
    for name in BOUNDS:
        line = [(x, each[name]) for x, each in zip(xs, allowed, strict=True)]
        inside = [(x, y) for x, y in line if y <= top]
        if len(inside) > 1:
            colour = len(series)
            series.append(
                Series(xs=[x for x, _ in inside], ys=[y for _, y in inside], colour=colour)
            )
            names.append(f"{name} alone")
    keys = "".join(f'<span class="c{i}">{escape(name)}</span>' for i, name in enumerate(names))
    chart = line_chart(
        series, x_label="workers", y_label="URLs per second", smooth=False, log_x=True
    )
    return f'<div class="legend">{keys}</div>{chart}'


def _section(title: str, inner: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{inner}</section>"


def _lines(lines: Sequence[Line]) -> str:
    """One line each; where it comes from stands below what is assumed."""
    rows = "".join(
        f"<tr><td>{escape(line.name)}</td><td>{escape(f'{shown(line.value)} {line.unit}')}</td>"
        f'<td style="text-align:left;white-space:normal">{escape(line.assumption)}'
        f"<br><small>{escape(line.source)}</small></td></tr>"
        for line in lines
    )
    return f'<div class="scroll"><table>{rows}</table></div>'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def row(cells: Sequence[str], kind: str) -> str:
        inner = "".join(f"<{kind}>{escape(cell)}</{kind}>" for cell in cells)
        return f"<tr>{inner}</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    return f'<div class="scroll"><table>{row(head, "th")}{body}</table></div>'
