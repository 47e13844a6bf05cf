"""From the command line to a configuration: `python -m MODULE RECIPE --flag value`.

A recipe is a function without arguments that returns a frozen dataclass tree; its first docstring
line is its help text. The flags come from the tree. tyro is used here and nowhere else.
"""

import errno
import logging
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import tyro

from diagonal_infra import log, run_dir
from diagonal_infra.errors import DiagonalError, UserError
from diagonal_infra.stage_metrics import serving_stage

Config = TypeVar("Config")
Positional = tyro.conf.Positional
"""`Positional[tuple[str, ...]]` is a field whose values need no flag."""
Fixed = tyro.conf.Suppress
"""`Annotated[str, Fixed]` is a field that the recipe sets and no flag changes."""
logger = logging.getLogger(__name__)

USER_ERROR_EXIT_CODE = 2
RESOLVE = "DIAGONAL_RESOLVE"
"""Set to 1, a command prints its configuration as JSON instead of doing anything."""
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def also(*flags: str) -> Any:
    """For `Annotated`: other spellings of a field's flag, for instance without its group."""
    return tyro.conf.arg(aliases=flags)


def parse_recipe(
    recipes: Mapping[str, Callable[[], Config]],
    *,
    description: str,
    args: list[str] | None = None,
    default: str | None = None,
) -> Config:
    """The named recipe with the command line's flags applied.

    Args:
        recipes: name to recipe function; the names become the subcommands.
        description: shown by `--help`; usually the module's docstring.
        args: the command line without the program; `sys.argv[1:]` when None.
        default: the recipe of a command line that begins with a flag; None: one must be named.

    Raises:
        SystemExit: with code 2 for an unknown recipe or flag or a value that its configuration
            refuses, with 0 for `--help`.
    """
    args = sys.argv[1:] if args is None else args
    if default is not None and args and args[0].startswith("--") and args[0] != "--help":
        args = [default, *args]
    choices = {}
    for name, recipe in recipes.items():
        config = recipe()
        summary = (recipe.__doc__ or "").strip().partition("\n")[0]
        choices[name] = (summary, config)
    return tyro.extras.overridable_config_cli(
        choices, prog=_program(), description=description, args=args
    )


def run_command(
    main: Callable[[Config], None],
    recipes: Mapping[str, Callable[[], Config]] | type[Config],
    *,
    description: str | None,
    default: str | None = None,
) -> None:
    """Parse, run, and leave with the right exit code: 0 done, 1 trouble, 2 the user's mistake.

    Metrics are served meanwhile where the configuration says so (see stage_metrics.py).

    Args:
        main: what to run.
        recipes: name to recipe function; or the configuration's type, for a command without.
        description: shown by `--help`; usually the module's docstring.
        default: the recipe of a command line that begins with a flag; None: one must be named.
    """
    log.configure()
    try:
        if isinstance(recipes, type):
            config = tyro.cli(recipes, prog=_program(), description=description)
        else:
            config = parse_recipe(recipes, description=description or "", default=default)
        if os.environ.get(RESOLVE) == "1":
            sys.stdout.buffer.write(run_dir.to_json(run_dir.resolved(config)))
        else:
            with serving_stage(config, _stage()):
                main(config)
    except UserError as error:
        _leave(str(error), USER_ERROR_EXIT_CODE)
    except DiagonalError as error:
        _leave(str(error), 1)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        _leave(f"{error}; free space and run the same command again to go on", 1)
    except KeyboardInterrupt:
        _leave("interrupted; run the same command again to go on", 130)


def _program() -> str:
    """The command as the user typed it, for usage lines."""
    spec = sys.modules["__main__"].__spec__
    return "diagonal" if spec is None else f"python -m {spec.name.removesuffix('.__main__')}"


def _stage() -> str:
    """`scores` of `python -m diagonal_eval.scores`, `eval` of `python -m diagonal_eval`."""
    return _program().rpartition(".")[2].rpartition("diagonal_")[2]


def _leave(message: str, code: int) -> None:
    logger.debug("command failed", exc_info=True)
    sys.stderr.write(f"error: {message}\n")
    sys.exit(code)
