"""The registry as tables: for a terminal, and for docs/evaluation.md."""

from collections.abc import Iterable

from rich.table import Table

from diagonal_eval.sets.config import SetsConfig
from diagonal_eval.sets.opening import where
from diagonal_eval.sets.registry import TASKS
from diagonal_eval.sets.task_info import TaskInfo

COLUMNS = ("name", "kind", "metric", "classes", "test size", "in", "source", "how to get it")
NOTHING = "–"


def terminal_table(names: Iterable[str], config: SetsConfig) -> Table:
    """What there is of each set under the root, and how to get the others."""
    table = Table("name", "kind", "metric", "classes", "test size", "there, or how to get it")
    for name in names:
        info = TASKS[name]
        found = where(info, config)
        state = f"[dim]{info.obtain}[/dim]" if found is None else f"[green]{found}[/green]"
        facts = (info.name, info.kind, info.metric, _number(info.classes), _number(info.test_size))
        table.add_row(*facts, state)
    return table


def markdown_table() -> str:
    """Every set of the registry, a row each; the notes stand below the table."""
    lines = [_row(COLUMNS), _row("---" for _ in COLUMNS)]
    lines += [_row(_cells(info)) for info in TASKS.values()]
    notes = [f"- `{info.name}`: {info.note}." for info in TASKS.values() if info.note]
    return "\n".join([*lines, "", "What a reader of these numbers must know:", "", *notes, ""])


def _cells(info: TaskInfo) -> tuple[str, ...]:
    facts = (_number(info.classes), _number(info.test_size), ", ".join(info.collections))
    return (f"`{info.name}`", info.kind, f"`{info.metric}`", *facts, info.source, info.obtain)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: int | None) -> str:
    return NOTHING if value is None else f"{value:,}"
