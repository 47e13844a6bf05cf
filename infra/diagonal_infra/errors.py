"""Exceptions that commands turn into one line on stderr.

    DiagonalError                 trouble with a known cause; exit code 1
    ├── UserError (ValueError)    wrong input, flag or path: what, value, remedy; exit code 2
    │   └── BusyError             another process holds the folder
    ├── StorageError              a file system failed, with path and attempts
    ├── CheckpointError           a checkpoint is incomplete or does not fit
    └── UnitError                 units of work failed after all attempts

A bug is none of these: it is an `assert` or whatever Python raises, shown with its traceback.
"""

import errno

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
"""Of an `OSError`: going on, or trying again at once, is of no use."""


class DiagonalError(Exception):
    """Trouble with a known cause; the message names it."""


class UserError(DiagonalError, ValueError):
    """The user asked for something that cannot be: the message says what to do instead."""


class BusyError(UserError):
    """Another process holds what this one would write to; later it may be free."""


class StorageError(DiagonalError):
    """A file system failed; the message carries the path."""


class CheckpointError(DiagonalError):
    """A checkpoint is incomplete, damaged or of another model."""


class UnitError(DiagonalError):
    """Some units of work failed after all attempts; running again finishes them."""


def require(condition: bool, message: str) -> None:
    """The check of a configuration's `__post_init__`; the message names the flag.

    Raises:
        ValueError: the condition does not hold; the command line turns it into exit code 2.
    """
    if not condition:
        raise ValueError(message)
