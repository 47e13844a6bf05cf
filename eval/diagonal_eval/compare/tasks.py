"""One task compared: the difference of its headline, a test, and the samples that changed.

The headline is computed again from the predictions and must be the one that results.json has. Where
it cannot be, the share of correct answers is compared instead, and the note says so.

Shape suffixes: N samples, R resamples.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from diagonal_eval.compare.folders import NotComparableError, Pair
from diagonal_eval.compare.metrics import (
    PairedMetric,
    correct_flags,
    paired_metric,
    share_of_correct,
)
from diagonal_eval.compare.significance import (
    bootstrap_differences,
    bootstrap_p,
    mcnemar_p,
    percentile_interval,
)
from diagonal_eval.group_errors import holm
from diagonal_eval.intervals import Interval

SAME_VALUE = 1e-6
"""How far a number computed again may lie from the recorded one."""
ALPHA = 0.05
CORRECT = "correct"
"""Name of the metric that stands in."""
WRONG_TO_RIGHT, RIGHT_TO_WRONG = "wrong_to_right", "right_to_wrong"


@dataclass(frozen=True, kw_only=True)
class TaskDifference:
    """What changed from A to B on one task."""

    name: str
    metric: str
    n: int
    a: float
    b: float
    interval: Interval
    """95 % interval of the difference."""
    p: float
    test: str
    note: str
    differences_R: NDArray[np.float64]
    changed: pa.Table
    """Samples that are right in one of the two only, with both answers."""
    adjusted_p: float = 1.0
    """Holm's, over all compared tasks."""

    @property
    def difference(self) -> float:
        """B − A."""
        return self.b - self.a

    @property
    def verdict(self) -> str:
        """In words; a difference is one that is significant beside all other tasks."""
        if self.adjusted_p >= ALPHA or self.difference == 0:
            return "no difference shown"
        return "B is better" if self.difference > 0 else "B is worse"

    def num_changed(self, change: str) -> int:
        """How many samples changed in that direction."""
        return self.changed.column("change").to_pylist().count(change)


def compare_task(pair: Pair, *, seed: int, resamples: int) -> TaskDifference:
    """The task's difference before Holm's correction.

    Raises:
        NotComparableError: a headline is no number.
    """
    metric, name, note = _metric_of(pair)
    # Of its own for each task: neither their order nor their number changes a number.
    own_seed = (seed, zlib.crc32(pair.name.encode("utf-8", "replace")))
    differences_R = bootstrap_differences(metric, seed=own_seed, resamples=resamples)
    if np.isnan(differences_R).all():
        raise NotComparableError(f"{name} is not defined on any resample")
    if metric.hits:
        first_N, second_N = metric.hits
        p = mcnemar_p(int((first_N & ~second_N).sum()), int((second_N & ~first_N).sum()))
        test = "exact McNemar"
    else:
        p, test = bootstrap_p(differences_R), "paired bootstrap"
    return TaskDifference(
        name=pair.name,
        metric=name,
        n=metric.n,
        a=metric.a(metric.count_K),
        b=metric.b(metric.count_K),
        interval=percentile_interval(differences_R),
        p=p,
        test=test,
        note=note,
        differences_R=differences_R,
        changed=changed_samples(pair),
    )


def adjusted(tasks: Sequence[TaskDifference]) -> tuple[TaskDifference, ...]:
    """All tasks with their p-values adjusted for each other."""
    p_values = holm([task.p for task in tasks])
    return tuple(replace(t, adjusted_p=p) for t, p in zip(tasks, p_values, strict=True))


def changed_samples(pair: Pair) -> pa.Table:
    """Samples that are correct in one of the two only, in order of their keys."""
    a, b = pair.predictions_a, pair.predictions_b
    rows = np.flatnonzero(correct_flags(a) != correct_flags(b))
    a, b = a.take(rows), b.take(rows)
    change = np.where(correct_flags(b), WRONG_TO_RIGHT, RIGHT_TO_WRONG)
    columns = {
        "task": pa.array([pair.name.encode("utf-8", "replace").decode()] * a.num_rows, pa.string()),
        "key": a.column("key"),
        "truth": a.column("truth"),
        "change": pa.array(change, pa.string()),
    }
    for name in ("predicted", "rank", "confidence"):
        columns |= {f"{name}_a": a.column(name), f"{name}_b": b.column(name)}
    return pa.table(columns)


def _metric_of(pair: Pair) -> tuple[PairedMetric, str, str]:
    """What is compared, its name, and a note if it is not the headline."""
    recorded = pair.a.headline.value, pair.b.headline.value
    for side, value in zip("AB", recorded, strict=True):
        if value is None:
            raise NotComparableError(f"{pair.a.metric} is no number in {side}")
    name = pair.a.metric
    metric = paired_metric(name, pair.predictions_a, pair.predictions_b)
    reason = "predictions do not tell it"
    if metric is not None:
        again = metric.a(metric.count_K), metric.b(metric.count_K)
        if all(abs(x - (y or 0)) <= SAME_VALUE for x, y in zip(again, recorded, strict=True)):
            return metric, name, ""
        reason = (
            f"predictions give {again[0]:.6f} and {again[1]:.6f}, "
            f"results.json has {recorded[0]:.6f} and {recorded[1]:.6f}"
        )
    note = f"shares of correct answers are compared, not {name}: {reason}"
    return share_of_correct(pair.predictions_a, pair.predictions_b), CORRECT, note
