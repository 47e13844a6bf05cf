"""The record of what a command was asked to do."""

import importlib.util
import shutil
from pathlib import Path

from diagonal_infra import run_dir


def copied(folder: Path) -> str:
    """The code revision by a copy of the module in `folder`, as a package in an image is one."""
    path = shutil.copy(run_dir.__file__, folder)
    spec = importlib.util.spec_from_file_location("copied_run_dir", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.code_revision()


def test_without_git_the_revision_is_the_one_noted_beside_the_code(tmp_path: Path) -> None:
    assert copied(tmp_path) == "unknown"
    (tmp_path / "revision.txt").write_text("0123abc\n")
    assert copied(tmp_path) == "0123abc"
