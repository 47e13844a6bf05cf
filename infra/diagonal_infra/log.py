"""Logging and progress on stderr; stdout belongs to results."""

import logging
import os
import sys

from rich.console import Console
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


def progress() -> Progress:
    """A progress bar on stderr; it draws only on a terminal, so pipes and CI logs stay clean."""
    return Progress(
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
