"""Every known evaluation set by name, and the names of their collections."""

import difflib
from collections.abc import Iterable

from diagonal_eval.sets import clip_paper, other_tasks, vtab_and_shifts
from diagonal_eval.sets.task_info import TaskInfo
from diagonal_infra.errors import UserError

ALL = (*clip_paper.TASKS, *vtab_and_shifts.TASKS, *other_tasks.TASKS)
TASKS: dict[str, TaskInfo] = {task.name: task for task in ALL}
"""By name, in the order of the documentation."""
COLLECTIONS: dict[str, tuple[str, ...]] = {
    name: tuple(task.name for task in ALL if name in task.collections)
    for name in dict.fromkeys(name for task in ALL for name in task.collections)
}
ADDRESSES = ("wds:", "folder:", "shards:")
"""Marks of a set that is named by where it lies."""
_OTHER_NAMES = {alias: task.name for task in ALL for alias in task.aliases}


def task_info(name: str) -> TaskInfo | None:
    """The entry of a name, also `vtab/NAME` or another name it goes by; None: there is none."""
    plain = name.removeprefix("vtab/")
    return TASKS.get(_OTHER_NAMES.get(plain, plain))


def is_address(name: str) -> bool:
    """Whether a set is named by where it lies."""
    return name.startswith(ADDRESSES)


def expand(names: Iterable[str]) -> list[str]:
    """Sets and collections to the sets they mean, each once, in the order given.

    Raises:
        UserError: a name that is neither; the message offers the nearest ones.
    """
    found: dict[str, None] = {}
    for name in names:
        info = task_info(name)
        if name in COLLECTIONS:
            found |= dict.fromkeys(COLLECTIONS[name])
        elif info is not None:
            found[info.name] = None
        elif is_address(name) and name.partition(":")[2]:
            found[name] = None
        else:
            raise UserError(_unknown(name))
    return list(found)


def _unknown(name: str) -> str:
    known = [*TASKS, *_OTHER_NAMES, *COLLECTIONS]
    near = difflib.get_close_matches(name, known, n=4, cutoff=0.5)
    offered = f"perhaps {', '.join(near)}" if near else f"collections: {', '.join(COLLECTIONS)}"
    return (
        f"no evaluation set {name!r}; {offered}. 'python -m diagonal_eval.sets list' lists all; "
        "your own: wds:DIR, folder:DIR, shards:DATASET"
    )
