"""Two evaluations side by side: which tasks can be compared, and why the others cannot.

A task is compared if both folders measured the same samples with the same classes by the same
metric: digest, split, kind, classes, metric, keys and truths agree. Everything else is named with
its reason; nothing is left out in silence.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from diagonal_eval.suite_report.predictions import predictions_path, read_predictions
from diagonal_eval.suite_report.record import TaskRecord, read_task
from diagonal_infra import storage
from diagonal_infra.errors import UserError

SAME = ("kind", "metric", "split", "classes", "set_digest")
"""Fields of a task's record that must agree."""


@dataclass(frozen=True, kw_only=True)
class Folder:
    """One evaluation."""

    path: str
    results: Mapping[str, Any]

    @property
    def tasks(self) -> Mapping[str, Any]:
        """The records of results.json."""
        return self.results["tasks"]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One task in both folders; both tables have the same keys in the same order."""

    name: str
    a: TaskRecord
    b: TaskRecord
    predictions_a: pa.Table
    predictions_b: pa.Table


class NotComparableError(Exception):
    """Why a task of both folders cannot be compared."""


def read_folder(path: str) -> Folder:
    """An evaluation's record.

    Raises:
        UserError: no results.json, or one that cannot be read or is older than tasks are.
    """
    file = storage.join(path, "results.json")
    if not storage.exists(file):
        raise UserError(f"{file} does not exist; name the --output folder of an evaluation")
    try:
        results = json.loads(storage.read_bytes(file))
    except ValueError as error:
        raise UserError(f"{file} is no JSON: {error}; evaluate again") from error
    if not isinstance(results, dict) or not isinstance(results.get("tasks"), dict):
        raise UserError(
            f"{file} has no 'tasks': an older version wrote it; evaluate again into that folder"
        )
    return Folder(path=path, results=results)


def common_tasks(a: Folder, b: Folder) -> list[str]:
    """Tasks of both, in the order of the first.

    Raises:
        UserError: there are none.
    """
    common = [name for name in a.tasks if name in b.tasks]
    if not common:
        raise UserError(
            f"no task is in both folders: {a.path} has {_listed(a)}, {b.path} has {_listed(b)}"
        )
    return common


def read_pair(a: Folder, b: Folder, name: str) -> Pair:
    """A task of both, row by row.

    Raises:
        NotComparableError: they did not measure the same, or predictions are missing or damaged.
    """
    for field in SAME:
        first, second = a.tasks[name].get(field), b.tasks[name].get(field)
        if first != second:
            raise NotComparableError(f"{field} differs: {first!r} in A, {second!r} in B")
    if not a.tasks[name].get("set_digest"):
        raise NotComparableError("set_digest is missing: the samples may differ")
    first, second = _predictions(a, name, "A"), _predictions(b, name, "B")
    _check_keys(first, second)
    if not first.column("truth").equals(second.column("truth")):
        truths = zip(*(t.column("truth").to_pylist() for t in (first, second)), strict=True)
        raise NotComparableError(f"the truth of {sum(x != y for x, y in truths)} samples differs")
    return Pair(
        name=name,
        a=read_task(name, a.tasks[name]),
        b=read_task(name, b.tasks[name]),
        predictions_a=first,
        predictions_b=second,
    )


def _predictions(folder: Folder, name: str, side: str) -> pa.Table:
    """One task's predictions, in the order of their keys."""
    try:
        table = read_predictions(folder.path, name)
    except UserError as error:
        raise NotComparableError(str(error)) from error
    if table is None:
        raise NotComparableError(f"{predictions_path(folder.path, name)} is missing in {side}")
    if not table.num_rows:
        raise NotComparableError(f"no prediction in {side}")
    return table.sort_by("key")


def _check_keys(first: pa.Table, second: pa.Table) -> None:
    keys_a, keys_b = (t.column("key").to_numpy(zero_copy_only=False) for t in (first, second))
    for side, keys in (("A", keys_a), ("B", keys_b)):
        repeated = len(keys) - len(np.unique(keys))
        if repeated:
            raise NotComparableError(f"{repeated} keys stand more than once in {side}")
    only_a, only_b = np.setdiff1d(keys_a, keys_b), np.setdiff1d(keys_b, keys_a)
    if len(only_a) or len(only_b):
        example = [*only_a, *only_b][0]
        raise NotComparableError(
            f"predictions are not of the same samples: {len(only_a)} keys only in A, "
            f"{len(only_b)} only in B, for instance {example!r}"
        )


def _listed(folder: Folder) -> str:
    names = list(folder.tasks)
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(repr, names[:5])) + more if names else "none"
