"""Which evaluation sets there are: `python -m diagonal_eval.sets list [COLLECTION …]`.

list        a table of the sets, with where each lies under --root or how to get it
markdown    the table of docs/evaluation.md
"""

import sys
from dataclasses import dataclass

from diagonal_eval.sets.config import SetsConfig
from diagonal_eval.sets.registry import TASKS, expand
from diagonal_eval.sets.table import markdown_table, terminal_table
from diagonal_infra import cli, log


@dataclass(frozen=True, kw_only=True)
class ListConfig:
    """Which sets to show."""

    names: cli.Positional[tuple[str, ...]] = ()
    """Collections or sets of the registry; all when none is named."""
    root: str = SetsConfig.root
    """Folder or URL in which each set has a folder."""


@dataclass(frozen=True, kw_only=True)
class MarkdownConfig:
    """Nothing to choose."""


def listing() -> ListConfig:
    """The sets, and where each lies or how to get it."""
    return ListConfig()


def markdown() -> MarkdownConfig:
    """The table of docs/evaluation.md, to stdout."""
    return MarkdownConfig()


COMMANDS = {"list": listing, "markdown": markdown}


def main(config: ListConfig | MarkdownConfig) -> None:
    """Print a table."""
    if isinstance(config, MarkdownConfig):
        sys.stdout.write(markdown_table())
        return
    names = [name for name in expand(config.names or TASKS) if name in TASKS]
    log.STDOUT.print(terminal_table(names, SetsConfig(root=config.root)))


if __name__ == "__main__":
    cli.run_command(main, COMMANDS, description=__doc__)
