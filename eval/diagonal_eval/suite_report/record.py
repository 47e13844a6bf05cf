"""results.json, read: what the report, the tables and the card are made of.

    results["tasks"][NAME] → TaskRecord: its measures (headline first), templates, groups, …

What is missing in the record is empty here, and what is no finite number is None: it is shown as
unknown, never as 0.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diagonal_eval.intervals import Interval


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One number of a task, template or group."""

    name: str
    value: float | None
    interval: Interval | None = None
    n: int = 0


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Samples of one class that were taken for another."""

    truth: str
    predicted: str
    count: int
    keys: tuple[str, ...]
    """Of a few of them."""


@dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """What one task measured."""

    name: str
    kind: str
    metric: str
    """Name of the headline measure."""
    split: str
    n: int
    measures: tuple[Measure, ...]
    """The headline first, then the others in the record's order."""
    chance: float | None
    classes: int | None
    per_template: tuple[Measure, ...]
    bare_label: Measure | None
    ece: Measure
    bins: tuple[Mapping[str, Any], ...]
    """Of the reliability diagram: n, confidence, accuracy."""
    groups: Mapping[str, tuple[Measure, ...]]
    """Attribute → a measure per value."""
    gaps: Mapping[str, Mapping[str, Any]]
    """Attribute → how far its best and worst group lie apart, where they can be compared."""
    designs: Mapping[str, Mapping[str, Mapping[str, tuple[Measure, ...]]]]
    """Class design, kind of class, attribute → the share of each group that falls to the kind."""
    few_shot: tuple[tuple[int, Measure], ...]
    """Pictures per class and what they gave."""
    per_class: tuple[Measure, ...]
    confusions: tuple[Confusion, ...]
    unreadable: int
    set_digest: str
    source: str
    note: str

    @property
    def headline(self) -> Measure:
        """The measure that stands for the task."""
        return self.measures[0]


def read_tasks(results: Mapping[str, Any]) -> tuple[TaskRecord, ...]:
    """All tasks, in the record's order."""
    return tuple(read_task(name, record) for name, record in results.get("tasks", {}).items())


def read_task(name: str, record: Mapping[str, Any]) -> TaskRecord:
    """One task's entry; the headline is the first measure where its own could not be computed."""
    metric, metrics = str(record.get("metric", "acc1")), record.get("metrics", {})
    if metric not in metrics:
        metric = next(iter(metrics), metric)
    bare = record.get("bare_label")
    calibration = record.get("calibration") or {}
    return TaskRecord(
        name=name,
        kind=str(record.get("kind", "")),
        metric=metric,
        split=str(record.get("split", "")),
        n=int(record.get("n", 0)),
        measures=_measures(record, metric),
        chance=finite(record.get("chance")),
        classes=record.get("classes"),
        per_template=_named(record.get("per_template"), metric),
        bare_label=_part("bare label", bare, metric) if bare else None,
        ece=_part("ece", {**calibration, "ci95": calibration.get("ece_ci95")}, "ece"),
        bins=tuple(part for part in calibration.get("bins", ()) if part.get("n")),
        groups={
            attribute: _named(values, metric)
            for attribute, values in (record.get("groups") or {}).items()
        },
        gaps={
            attribute: gap
            for attribute, gap in (record.get("group_gaps") or {}).items()
            if gap.get("gap") is not None
        },
        designs={
            design: {
                kind: {
                    attribute: _named(values, "share")
                    for attribute, values in (part.get("groups") or {}).items()
                }
                for kind, part in found["kinds"].items()
            }
            for design, found in (record.get("class_design") or {}).items()
        },
        few_shot=tuple(
            (
                int(point["shots"]),
                Measure(
                    name=str(point["metric"]),
                    value=finite(point["value"]),
                    interval=as_interval(point["ci95"]),
                ),
            )
            for point in record.get("few_shot") or ()
        ),
        per_class=tuple(
            _part(name, part, "recall" if "recall" in part else "average_precision")
            for name, part in (record.get("per_class") or {}).items()
        ),
        confusions=tuple(_confusion(found) for found in record.get("confusions") or ()),
        unreadable=int(record.get("unreadable", 0)),
        set_digest=str(record.get("set_digest", "")),
        source=str(record.get("source", "")),
        note=str(record.get("note", "") or ""),
    )


def finite(value: Any) -> float | None:
    """The number; None for what is none, NaN or infinite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _measures(record: Mapping[str, Any], metric: str) -> tuple[Measure, ...]:
    values = record.get("metrics", {})
    others = (name for name in values if name != metric)
    return tuple(_part(name, record, name) for name in (metric, *others))


def _named(parts: Mapping[str, Any] | None, metric: str) -> tuple[Measure, ...]:
    return tuple(_part(name, part, metric) for name, part in (parts or {}).items())


def _part(name: str, record: Mapping[str, Any], metric: str) -> Measure:
    """One measure of a task (values under `metrics`) or of a template or group (values beside n).

    A part without the task's own metric has its accuracy instead.
    """
    values = record.get("metrics", record)
    if metric not in values and "metrics" not in record:
        metric = "acc1"
    bounds = record.get("ci95") or ()
    if isinstance(bounds, Mapping):
        bounds = bounds.get(metric) or ()
    return Measure(
        name=name,
        value=finite(values.get(metric)),
        interval=as_interval(bounds),
        n=int(record.get("n", 0)),
    )


def as_interval(bounds: Sequence[Any]) -> Interval | None:
    """Both bounds; None where one is missing or no finite number."""
    if len(bounds) != 2:
        return None
    low, high = (finite(bound) for bound in bounds)
    return None if low is None or high is None else (low, high)


def _confusion(record: Mapping[str, Any]) -> Confusion:
    return Confusion(
        truth=str(record["truth"]),
        predicted=str(record["predicted"]),
        count=int(record["count"]),
        keys=tuple(str(key) for key in record.get("keys", ())),
    )
