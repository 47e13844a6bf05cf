"""Accuracy under shift against accuracy on the reference set, beside other models' and their fit.

record: {"reference": NAME, "shifts": {NAME: {"reference_acc1", "acc1", "expected",
         "fit": [[x, y], …], "models": {NAME: [x, y]}}}}
"""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from diagonal_eval.suite_report import plots
from diagonal_eval.suite_report.record import finite
from diagonal_eval.suite_report.tables import in_percent


def robustness_charts(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """A note and a scatter per shift; None if nothing is recorded."""
    charts = []
    reference = str(record.get("reference", "reference"))
    for name, shift in (record.get("shifts") or {}).items():
        x, y = finite(shift.get("reference_acc1")), finite(shift.get("acc1"))
        if x is None or y is None:
            continue
        others = [
            (float(pair[0]), float(pair[1]), str(model), "small")
            for model, pair in (shift.get("models") or {}).items()
        ]
        expected = finite(shift.get("expected"))
        title = f"{name}: {in_percent(y)}"
        if expected is not None:
            title += f", expected {in_percent(expected)}, effective {100 * (y - expected):+.1f}"
        picture = plots.scatter(
            [*others, (x, y, "this model", "dot")],
            [(float(a), float(b)) for a, b in shift.get("fit") or ()],
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
