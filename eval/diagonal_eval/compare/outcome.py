"""What a comparison found, and the files and the table it is shown as.

compare.json     both folders, every task, what could not be compared, the verdict
changed.parquet  task, key, truth, change, and predicted, rank, confidence of A and B
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.table import Table
from rich.text import Text

from diagonal_eval.compare.config import CompareConfig
from diagonal_eval.compare.folders import Folder, NotComparableError, common_tasks, read_pair
from diagonal_eval.compare.tasks import (
    RIGHT_TO_WRONG,
    WRONG_TO_RIGHT,
    TaskDifference,
    adjusted,
    compare_task,
)
from diagonal_eval.compare.verdict import Overall, overall
from diagonal_eval.suite_report.provenance import model_name
from diagonal_infra import storage
from diagonal_infra.errors import UserError
from diagonal_train.exporting.escaping import plain
from diagonal_train.exporting.records import shown_address


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything that a comparison found."""

    a: Folder
    b: Folder
    tasks: tuple[TaskDifference, ...]
    overall: Overall
    not_comparable: Mapping[str, str]
    """Task to reason."""
    only_in_a: tuple[str, ...]
    only_in_b: tuple[str, ...]
    seed: int
    resamples: int


def compare(a: Folder, b: Folder, config: CompareConfig) -> Comparison:
    """All common tasks.

    Raises:
        UserError: no task is in both, or none of those can be compared.
    """
    found: list[TaskDifference] = []
    refused: dict[str, str] = {}
    for name in common_tasks(a, b):
        try:
            pair = read_pair(a, b, name)
            found.append(compare_task(pair, seed=config.seed, resamples=config.resamples))
        except NotComparableError as reason:
            refused[name] = str(reason)
    if not found:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
        raise UserError(f"no common task can be compared: {plain(reasons)}")
    tasks = adjusted(found)
    return Comparison(
        a=a,
        b=b,
        tasks=tasks,
        overall=overall(tasks, config.seed),
        not_comparable=refused,
        only_in_a=tuple(name for name in a.tasks if name not in b.tasks),
        only_in_b=tuple(name for name in b.tasks if name not in a.tasks),
        seed=config.seed,
        resamples=config.resamples,
    )


def comparison_json(found: Comparison) -> dict[str, Any]:
    """The record of compare.json."""
    return {
        "a": _folder_record(found.a),
        "b": _folder_record(found.b),
        "verdict": found.overall.verdict,
        "overall": {
            "difference": found.overall.difference,
            "ci95": list(found.overall.interval),
            "tasks": found.overall.num_tasks,
            "better": found.overall.better,
            "worse": found.overall.worse,
        },
        "tasks": {task.name: _task_record(task) for task in found.tasks},
        "not_comparable": dict(found.not_comparable),
        "only_in_a": list(found.only_in_a),
        "only_in_b": list(found.only_in_b),
        "seed": found.seed,
        "resamples": found.resamples,
    }


def write_changed(path: str, found: Comparison) -> None:
    """changed.parquet."""
    with storage.write_whole(path) as file:
        pq.write_table(pa.concat_tables([task.changed for task in found.tasks]), file)


def comparison_table(found: Comparison) -> Table:
    """For the terminal; names are shown to the letter."""
    table = Table(title="B − A, in points", title_justify="left")
    for name in ("task", "metric", "A", "B", "difference [95 %]", "p, Holm", "+", "−", "verdict"):
        table.add_column(name, justify="left" if name in ("task", "metric", "verdict") else "right")
    for task in found.tasks:
        low, high = (100 * bound for bound in task.interval)
        table.add_row(
            Text(plain(task.name)),
            Text(plain(task.metric)),
            f"{100 * task.a:.1f}",
            f"{100 * task.b:.1f}",
            f"{100 * task.difference:+.1f} \\[{low:+.1f}, {high:+.1f}]",
            f"{task.adjusted_p:.2g}",
            f"{task.num_changed(WRONG_TO_RIGHT):,}",
            f"{task.num_changed(RIGHT_TO_WRONG):,}",
            task.verdict,
        )
    return table


def remarks(found: Comparison) -> list[tuple[str, str]]:
    """What was not compared, or not by its headline: task and reason."""
    rows = [(task.name, task.note) for task in found.tasks if task.note]
    rows += [(name, f"not comparable: {reason}") for name, reason in found.not_comparable.items()]
    rows += [(name, "only in A") for name in found.only_in_a]
    return [*rows, *((name, "only in B") for name in found.only_in_b)]


def _folder_record(folder: Folder) -> dict[str, Any]:
    names = ("encoder_digest", "checkpoint_step", "code_revision")
    checkpoint = shown_address(str(folder.results.get("checkpoint") or "unknown"))
    return {
        "folder": shown_address(folder.path),
        "model": model_name(folder.results),
        "checkpoint": checkpoint,
        **{name: folder.results.get(name) for name in names},
    }


def _task_record(task: TaskDifference) -> dict[str, Any]:
    return {
        "metric": task.metric,
        "n": task.n,
        "a": task.a,
        "b": task.b,
        "difference": task.difference,
        "ci95": list(task.interval),
        "test": task.test,
        "p": task.p,
        "p_holm": task.adjusted_p,
        "verdict": task.verdict,
        WRONG_TO_RIGHT: task.num_changed(WRONG_TO_RIGHT),
        RIGHT_TO_WRONG: task.num_changed(RIGHT_TO_WRONG),
        "note": task.note,
    }
