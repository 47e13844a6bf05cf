"""Logging and progress on stderr; stdout belongs to results."""

import logging
import os
import sys
from collections.abc import Callable, Iterable

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

STDERR = Console(stderr=True)
# Pipes and CI logs have no width of their own; rich would assume 80 and cut the tables.
STDOUT = Console(width=None if sys.stdout.isatty() else 120)


def configure() -> None:
    """Log records to stderr as `time level name: message`; `DIAGONAL_LOG` sets the level."""
    logging.basicConfig(
        level=os.environ.get("DIAGONAL_LOG", "INFO").upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
    )


class _ProgressBeside(Progress):
    """A progress bar with something that changes below it."""

    beside: Callable[[], RenderableType] | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar, then what stands below it now."""
        yield from super().get_renderables()
        if self.beside is not None:
            yield self.beside()


def progress(beside: Callable[[], RenderableType] | None = None) -> Progress:
    """A progress bar on stderr; it draws only on a terminal, so pipes and CI logs stay clean.

    Args:
        beside: called at each redraw for what to show below the bar, for instance a table.
    """
    bar = _ProgressBeside(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(show_speed=True),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=STDERR,
        disable=not STDERR.is_terminal,
    )
    bar.beside = beside
    return bar
