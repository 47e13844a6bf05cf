"""The output folder of an export: it appears whole, in place of an earlier export or of nothing.

OUT.partial-0     being written; a kill leaves it, the next export clears it
OUT/export.json   marks a folder that an export wrote, and that another may therefore replace
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diagonal_infra.errors import UserError
from diagonal_infra.storage import PARTIAL_MARK, sync_folder

MARKER = "export.json"


def check_output(output: str) -> None:
    """Find out before the work starts that the output may be written.

    Raises:
        UserError: it is no local path, or a folder with something else in it.
    """
    if "://" in output:
        raise UserError(f"--output {output!r} must be a local path; copy the folder afterwards")
    folder = Path(output)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARKER).exists():
        raise UserError(f"--output {output!r} holds files that no export wrote; name another")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output {output!r} is a file; name a folder")
    try:
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make --output {output!r}: {error}; name another") from error


@contextmanager
def whole_folder(output: str) -> Iterator[Path]:
    """A folder to write into, which becomes `output` if the block ends without an error."""
    final = Path(output).absolute()
    aside = final.with_name(f"{final.name}{PARTIAL_MARK}0")
    before = final.with_name(f"{final.name}{PARTIAL_MARK}before")
    for leftover in (aside, before):
        shutil.rmtree(leftover, ignore_errors=True)
    aside.mkdir()
    try:
        yield aside
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    _sync_files(aside)
    if final.exists():
        final.rename(before)
    aside.rename(final)
    sync_folder(final.parent)
    shutil.rmtree(before, ignore_errors=True)


def _sync_files(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(folder)
