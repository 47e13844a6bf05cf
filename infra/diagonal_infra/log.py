"""Logging and progress on stderr; stdout belongs to results."""

import logging
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from diagonal_infra import tally

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


class _Bar(Progress):
    """A progress bar that counts for the metrics too, with something that changes below it."""

    beside: Callable[[], RenderableType] | None = None

    def add_task(self, description: str, *arguments: Any, **fields: Any) -> TaskID:
        """A part of the work; its first description is its name for good."""
        return super().add_task(description, *arguments, **{tally.PART: description}, **fields)

    def start(self) -> None:
        """Show it."""
        super().start()
        tally.now().begin_bar(self)

    def stop(self) -> None:
        """Show it no longer."""
        super().stop()
        tally.now().end_bar(self)

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
    bar = _Bar(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(show_speed=True),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=STDERR,
        disable=not STDERR.is_terminal,
        # Else `track` leaves counting to a thread, which ends at once where nothing is drawn.
        auto_refresh=STDERR.is_terminal,
    )
    bar.beside = beside
    return bar
