"""Accuracy under shift against accuracy on the reference set, beside other models' and their fit.

The record is that of `robustness_report.robustness_record`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from diagonal_eval.robustness import LINKS
from diagonal_eval.suite_report import plots
from diagonal_eval.suite_report.record import finite
from diagonal_eval.suite_report.tables import in_percent

CURVE_POINTS = 33
EDGE = 1e-3
"""Nearer to 0 and 1 a line on the logit scale is not drawn."""


def robustness_charts(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """A note and a scatter per shift; None if nothing is recorded."""
    charts = []
    reference = str((record.get("reference") or {}).get("task", "reference"))
    for name, shift in (record.get("shifts") or {}).items():
        x, y = finite(shift.get("reference_acc1")), finite(shift.get("acc1"))
        if x is None or y is None:
            continue
        others = [
            (float(one["reference"]), float(one["shifted"]), str(one["name"]), "small")
            for one in shift.get("baselines") or ()
        ]
        expected = finite((shift.get("effective") or {}).get("predicted"))
        title = f"{name}: {in_percent(y)}"
        if expected is not None:
            title += f", expected {in_percent(expected)}, effective {100 * (y - expected):+.1f}"
        picture = plots.scatter(
            [*others, (x, y, "this model", "dot")],
            _curve(shift.get("line") or {}, [one[0] for one in (*others, (x,))]),
            x_label=f"accuracy on {reference}",
            y_label=f"accuracy on {name}",
        )
        charts.append({"title": title, "picture": Markup(picture)})
    if not charts:
        return None
    note = (
        "Other models in grey with their fit, this model in colour; on the dashed line a shift "
        "costs nothing. Effective robustness is the height above the fit, in points."
    )
    return {"note": note, "charts": charts}


def _curve(line: Mapping[str, Any], xs: Sequence[float]) -> list[tuple[float, float]]:
    """The baselines' line between the outermost models, back on the scale of accuracies."""
    if "slope" not in line:
        return []
    forward, back = LINKS[line["link"]]
    low, high = (min(max(x, EDGE), 1 - EDGE) for x in (min(xs), max(xs)))
    between = np.linspace(low, high, CURVE_POINTS)
    return [(float(x), back(line["slope"] * forward(x) + line["intercept"])) for x in between]
