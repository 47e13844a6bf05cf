"""Robustness of a model from its results.json, against baselines from a file or other results.

    reference  imagenet1k
    shifts     ImageNetV2, -R, -A, Sketch and ObjectNet, whichever were evaluated

-R and -A show 200 of the 1000 classes and ObjectNet 113. Where both tasks have per-class results,
the reference accuracy is that of the pictures of the same classes, which are nevertheless told
apart from all 1000; otherwise it is of all pictures. A note says which.

Baselines: CSV with the columns name, shift, reference, shifted and, if known, reference_n and
shifted_n (accuracies from 0 to 1), or other models' results.json.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diagonal_eval.intervals import Rate
from diagonal_eval.robustness import (
    Baseline,
    EffectiveRobustness,
    Line,
    Link,
    Robustness,
    effective_robustness,
    fit_line,
    mean_relative_robustness,
    relative_robustness,
)
from diagonal_infra import storage
from diagonal_infra.errors import UserError

REFERENCE = "imagenet1k"
SHIFTS = {
    "imagenetv2": 1000,
    "imagenet-r": 200,
    "imagenet-a": 200,
    "imagenet_sketch": 1000,
    "objectnet": 113,
}
"""Names as in clip_benchmark, and how many classes they show."""
REFERENCE_CLASSES = 1000
LEAST_SHARED = 0.9
"""Of a subset's classes. Not all: of two classes of one name one can be missing from the subset."""
CSV_COLUMNS = ("name", "shift", "reference", "shifted")
Tasks = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A model's accuracies on a shift and on the reference."""

    reference: Rate
    shifted: Rate
    same_classes: bool
    note: str = ""


def robustness_record(
    tasks: Tasks,
    baselines: Mapping[str, Sequence[Baseline]],
    *,
    seed: int,
    link: Link = "logit",
    reference: str = REFERENCE,
    shifts: Mapping[str, int] = SHIFTS,
) -> dict[str, Any] | None:
    """The `robustness` of results.json; None without the reference or without any shift.

    Args:
        tasks: of results.json.
        baselines: of each shift, from `read_baselines`; a shift may have none.
        seed: draws the intervals.
        link: scale of the baselines' line.
        reference: name of the task that the shifts are shifts of.
        shifts: name of each task, and how many of the reference's classes it shows.
    """
    measured = {name: task for name, task in tasks.items() if _has_accuracy(task)}
    found = [shift for shift in shifts if shift in measured]
    if reference not in measured or not found:
        return None
    pairs = {
        shift: pair_for(measured, shift, reference, subset=shifts[shift] < REFERENCE_CLASSES)
        for shift in found
    }
    rates = [(pair.reference, pair.shifted) for pair in pairs.values()]
    whole = _rate(measured[reference])
    return {
        "reference": {
            "task": reference, "acc1": whole.value, "n": whole.n, "ci95": list(whole.interval),
        },
        "link": link,
        "shifts": {
            shift: _shift_record(pair, baselines.get(shift, ()), seed, link)
            for shift, pair in pairs.items()
        },
        "mean_relative": _number(mean_relative_robustness(rates, seed=seed)),
    }  # fmt: skip


def pair_for(tasks: Tasks, shift: str, reference: str, *, subset: bool) -> Pair:
    """Both accuracies, the reference's on the shift's classes if that is known."""
    whole, shifted = _rate(tasks[reference]), _rate(tasks[shift])
    if not subset:
        return Pair(reference=whole, shifted=shifted, same_classes=True)
    classes = tasks[shift].get("per_class") or {}
    per_class = tasks[reference].get("per_class") or {}
    shared = [per_class[name] for name in classes if name in per_class]
    if not classes or len(shared) < LEAST_SHARED * len(classes):
        note = (
            f"shows a part of the classes, but of {len(classes)} of them {len(shared)} have "
            f"results on {reference}: the reference accuracy is of all classes"
        )
        return Pair(reference=whole, shifted=shifted, same_classes=False, note=note)
    right = sum(round(one["recall"] * one["n"]) for one in shared if one["n"])
    n = sum(one["n"] for one in shared)
    same = f"{len(shared)} of its {len(classes)} classes"
    note = f"reference accuracy of the pictures of {same}, told apart from all others too"
    return Pair(reference=Rate(successes=right, n=n), shifted=shifted, same_classes=True, note=note)


def read_baselines(paths: Sequence[str], reference: str = REFERENCE) -> dict[str, list[Baseline]]:
    """Baselines by shift from CSV files and other models' results.json.

    Raises:
        UserError: a file is missing, or is neither.
    """
    found: dict[str, list[Baseline]] = {}
    for path in paths:
        if not storage.exists(path):
            raise UserError(f"no baselines at {path!r}; give a CSV or another model's results.json")
        content = storage.read_bytes(path).decode("utf-8-sig")
        read = _from_results if path.endswith(".json") else _from_csv
        for shift, baseline in read(path, content, reference):
            found.setdefault(shift, []).append(baseline)
    return found


def _from_csv(path: str, content: str, _: str) -> list[tuple[str, Baseline]]:
    rows = csv.DictReader(io.StringIO(content))
    missing = [column for column in CSV_COLUMNS if column not in (rows.fieldnames or ())]
    if missing:
        raise UserError(f"{path!r} lacks the columns {', '.join(missing)}")
    found = []
    for line, row in enumerate(rows, start=2):
        try:
            baseline = Baseline(
                name=row["name"],
                reference=float(row["reference"]),
                shifted=float(row["shifted"]),
                reference_n=int(row.get("reference_n") or 0),
                shifted_n=int(row.get("shifted_n") or 0),
            )
        except (TypeError, ValueError) as error:
            raise UserError(f"{path!r}, line {line}: {error}") from error
        found.append((row["shift"], baseline))
    return found


def _from_results(path: str, content: str, reference: str) -> list[tuple[str, Baseline]]:
    try:
        tasks = json.loads(content)["tasks"]
        pairs = {
            shift: pair_for(tasks, shift, reference, subset=num_classes < REFERENCE_CLASSES)
            for shift, num_classes in SHIFTS.items()
            if shift in tasks
        }
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path!r} holds no results with {reference!r}: {error!r}") from error
    return [
        (
            shift,
            Baseline(
                name=path,
                reference=pair.reference.value,
                shifted=pair.shifted.value,
                reference_n=pair.reference.n,
                shifted_n=pair.shifted.n,
            ),
        )
        for shift, pair in pairs.items()
    ]


def _has_accuracy(task: Mapping[str, Any]) -> bool:
    accuracy = task.get("metrics", {}).get("acc1")
    return bool(task.get("n")) and isinstance(accuracy, int | float) and 0 <= accuracy <= 1


def _rate(task: Mapping[str, Any]) -> Rate:
    return Rate(successes=round(task["metrics"]["acc1"] * task["n"]), n=task["n"])


def _shift_record(
    pair: Pair, baselines: Sequence[Baseline], seed: int, link: Link
) -> dict[str, Any]:
    line = fit_line(baselines, link)
    effective = None
    if isinstance(line, Line):
        effective = effective_robustness(line, pair.reference, pair.shifted, seed=seed)
    return {
        "n": pair.shifted.n,
        "acc1": pair.shifted.value,
        "ci95": list(pair.shifted.interval),
        "reference_acc1": pair.reference.value,
        "reference_n": pair.reference.n,
        "same_classes": pair.same_classes,
        "note": pair.note,
        "relative": _number(relative_robustness(pair.reference, pair.shifted, seed=seed)),
        "effective": _effective(effective),
        "line": {"note": line} if isinstance(line, str) else _line(line),
        "baselines": [
            {"name": one.name, "reference": one.reference, "shifted": one.shifted}
            for one in baselines
        ],
    }


def _number(robustness: Robustness | None) -> dict[str, Any] | None:
    if robustness is None:
        return None
    return {"value": robustness.value, "ci95": list(robustness.interval)}


def _effective(effective: EffectiveRobustness | None) -> dict[str, Any] | None:
    if effective is None:
        return None
    return {
        "value": effective.value,
        "ci95": list(effective.interval),
        "predicted": effective.predicted,
        "notes": list(effective.notes),
    }


def _line(line: Line) -> dict[str, Any]:
    return {
        "link": line.link,
        "slope": line.slope,
        "intercept": line.intercept,
        "baselines": line.num_baselines,
        "r2": line.r2,
        "residual_std": line.residual_std,
        "notes": list(line.notes),
    }
