"""Accuracy under shift against accuracy on the reference set, beside baselines and their line.

results["robustness"] (robustness_report.py) → a note, and per shift a title, a scatter, notes
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from diagonal_eval.robustness import LINKS
from diagonal_eval.suite_report import plots
from diagonal_eval.suite_report.record import finite
from diagonal_eval.suite_report.tables import in_percent

LINE_POINTS = 40
NOTE = (
    "Baselines in grey with their line, this model in colour; on the dashed line a shift costs "
    "nothing. Effective robustness is the height above the baselines' line, in points; relative is "
    "the share of the reference accuracy that is left."
)


def robustness_charts(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the section shows; None if nothing is recorded."""
    reference = str((record.get("reference") or {}).get("task", "reference"))
    charts = [
        _chart(reference, name, shift)
        for name, shift in (record.get("shifts") or {}).items()
        if finite(shift.get("reference_acc1")) is not None and finite(shift.get("acc1")) is not None
    ]
    return {"note": NOTE, "charts": charts} if charts else None


def _chart(reference: str, name: str, shift: Mapping[str, Any]) -> dict[str, Any]:
    x, y = float(shift["reference_acc1"]), float(shift["acc1"])
    baselines = [
        (float(one["reference"]), float(one["shifted"]), str(one["name"]), "small")
        for one in shift.get("baselines") or ()
    ]
    picture = plots.scatter(
        [*baselines, (x, y, "this model", "dot")],
        _line(shift.get("line") or {}, [x, *(one[0] for one in baselines)]),
        x_label=f"accuracy on {reference}",
        y_label=f"accuracy on {name}",
    )
    effective, line = shift.get("effective") or {}, shift.get("line") or {}
    notes = [shift.get("note"), line.get("note"), *(effective.get("notes") or ())]
    return {
        "title": _title(name, y, shift),
        "picture": Markup(picture),
        "notes": [str(note) for note in notes if note],
    }


def _title(name: str, accuracy: float, shift: Mapping[str, Any]) -> str:
    parts = [f"{name}: {in_percent(accuracy)}"]
    for what, sign in (("effective", "+"), ("relative", "")):
        number = shift.get(what) or {}
        if finite(number.get("value")) is not None:
            low, high = (format(100 * bound, f"{sign}.1f") for bound in number["ci95"])
            parts.append(f"{what} {100 * number['value']:{sign}.1f} [{low}, {high}]")
    return ", ".join(parts)


def _line(line: Mapping[str, Any], references: list[float]) -> list[tuple[float, float]]:
    """The baselines' line, which is straight on its link's scale only."""
    if "slope" not in line:
        return []
    forward, back = LINKS[line["link"]]
    first, last = (min(max(end, 0.01), 0.99) for end in (min(references), max(references)))
    xs = [float(x) for x in np.linspace(first, last, LINE_POINTS)]
    return [(x, float(back(line["intercept"] + line["slope"] * forward(x)))) for x in xs]
