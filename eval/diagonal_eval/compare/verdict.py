"""All tasks together: the mean difference and what may be said of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diagonal_eval.compare.significance import overall_differences, percentile_interval
from diagonal_eval.compare.tasks import TaskDifference
from diagonal_eval.intervals import Interval


@dataclass(frozen=True, kw_only=True)
class Overall:
    """The mean of the tasks' differences."""

    difference: float
    interval: Interval
    """95 %, by bootstrap over tasks and over samples."""
    num_tasks: int
    better: int
    worse: int

    @property
    def verdict(self) -> str:
        """Two sentences."""
        same = self.num_tasks - self.better - self.worse
        tasks = "1 task" if self.num_tasks == 1 else f"{self.num_tasks} tasks"
        counts = f"B is better on {self.better} of {tasks}, worse on {self.worse}, "
        low, high = (100 * bound for bound in self.interval)
        mean = f"{100 * self.difference:+.2f} points [{low:+.2f}, {high:+.2f}]"
        if low > 0:
            words = "B is better on average"
        elif high < 0:
            words = "B is worse on average"
        else:
            words = "on average no difference is shown"
        return f"{counts}no difference shown on {same}. Over {tasks} {words}: {mean}."


def overall(tasks: Sequence[TaskDifference], seed: int) -> Overall:
    """Of at least one task."""
    differences_R = overall_differences(np.stack([task.differences_R for task in tasks]), seed)
    verdicts = [task.verdict for task in tasks]
    return Overall(
        difference=float(np.mean([task.difference for task in tasks])),
        interval=percentile_interval(differences_R),
        num_tasks=len(tasks),
        better=verdicts.count("B is better"),
        worse=verdicts.count("B is worse"),
    )
