from pathlib import Path

import pytest

from diagonal_infra.errors import UserError
from diagonal_train.exporting.folder import MARKER, check_output, whole_folder


def test_an_export_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    output = tmp_path / "m"
    with whole_folder(str(output)) as folder:
        (folder / MARKER).write_text("first")
    with pytest.raises(FileNotFoundError):
        fail_to_export(output)
    assert (output / MARKER).read_text() == "first"
    assert list(tmp_path.iterdir()) == [output]


def fail_to_export(output: Path) -> None:
    with whole_folder(str(output)) as folder:
        (folder / MARKER).write_text("second")
        (folder / "weights" / "missing folder").write_text("third")


def test_nothing_of_an_earlier_export_stays(tmp_path: Path) -> None:
    output = tmp_path / "m"
    for name in ("a", "b"):
        with whole_folder(str(output)) as folder:
            assert not output.exists() or not (output / name).exists()
            (folder / name).write_text(name)
    assert [path.name for path in output.iterdir()] == ["b"]
    assert list(tmp_path.iterdir()) == [output]


def test_other_peoples_files_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(UserError, match="holds files that no export wrote"):
        check_output(str(tmp_path))
    with pytest.raises(UserError, match="is a file"):
        check_output(str(tmp_path / "thesis.txt"))
    with pytest.raises(UserError, match="must be a local path"):
        check_output("s3://bucket/m")


def test_an_empty_folder_and_an_earlier_export_may_be_replaced(tmp_path: Path) -> None:
    check_output(str(tmp_path))
    (tmp_path / MARKER).write_text("{}")
    check_output(str(tmp_path))
    check_output(str(tmp_path / "new" / "m"))
