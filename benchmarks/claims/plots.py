"""The charts of docs/results.md: SVG files that need nothing else; the same record, same bytes."""

import re
import statistics
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from claims.arms import BASE, CLAIMS
from claims.exam import CONCEPTS, LISTS
from claims.table import CENTRED, PROMPT_NAMES, final, prompt_order
from diagonal_eval.charts import Bar, bar_chart
from diagonal_infra.charts import Series, line_chart
from diagonal_infra.html_page import CSS

CURVES = (
    (BASE, "top1", "contrastive"),
    ("words", "top1" + CENTRED, "words of the caption, centred"),
    ("captions", "top1" + CENTRED, "caption, centred"),
)
CHART = re.compile(r'<svg class="chart" viewBox="0 0 (\S+) (\S+)"[^>]*>(.*)</svg>', re.DOTALL)
LEGEND_HEIGHT = 30
LEGEND_STEP = 220
MARGIN = 12


def charts(record: Mapping[str, Any]) -> dict[str, str]:
    """SVG files by name, of the claims whose arms are all there."""
    runs = record["runs"]
    found = {}
    if all(arm in runs for arm, _, _ in CURVES):
        found["efficiency"] = efficiency_chart(runs)
    for claim, arms in CLAIMS.items():
        if all(arm in runs for arm in arms):
            values = {name: final(runs, arm, "top1") for arm, name in arms.items()}
            found[claim.replace(" ", "-")] = bars_chart(values)
    if BASE in runs:
        kinds = prompt_order(runs[BASE][0]["prompts"])
        found["prompts"] = bars_chart(
            {
                PROMPT_NAMES.get(kind, kind): [run["prompts"][kind]["top1"] for run in runs[BASE]]
                for kind in kinds
            }
        )
    return found


def efficiency_chart(runs: Mapping[str, Any]) -> str:
    """Accuracy over samples seen; every seed is a line."""
    lines = [
        Series(
            xs=[0, *(point["samples_seen"] for point in run["points"])],
            ys=[100 * LISTS / CONCEPTS, *(100 * point[measure] for point in run["points"])],
            colour=colour,
        )
        for colour, (arm, measure, _) in enumerate(CURVES)
        for run in runs[arm]
    ]
    chart = line_chart(lines, x_label="samples seen", y_label="", smooth=False)
    return standalone(chart, [f"{name}, %" for _, _, name in CURVES])


def bars_chart(values: Mapping[str, Sequence[float]]) -> str:
    """Means with the least and the most of the seeds."""
    bars = [
        Bar(
            label=name,
            value=100 * statistics.mean(found),
            text=f"{100 * statistics.mean(found):.1f} %",
            interval=(100 * min(found), 100 * max(found)),
        )
        for name, found in values.items()
    ]
    return standalone(bar_chart(bars, maximum=100 * max(map(max, values.values()))))


def standalone(chart: str, legend: Sequence[str] = ()) -> str:
    """A chart as a file of its own, with the page's style, a ground and room around."""
    match = CHART.fullmatch(chart)
    assert match is not None, "charts have a class, a viewBox and a width"
    top = MARGIN + (LEGEND_HEIGHT if legend else 0)
    width, height = float(match[1]) + 2 * MARGIN, float(match[2]) + top + MARGIN
    entries = "".join(
        f'<g transform="translate({MARGIN + 44 + number * LEGEND_STEP} {MARGIN + 10})">'
        f'<polyline class="c{number}" points="0,0 18,0"/>'
        f'<text x="25" y="4">{escape(name)}</text></g>'
        for number, name in enumerate(legend)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" role="img"><style>{CSS}</style>'
        f'<rect width="100%" height="100%" style="fill:var(--card)"/>{entries}'
        f'<g transform="translate({MARGIN} {top})">{match[3]}</g></svg>\n'
    )
