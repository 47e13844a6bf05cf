import os
from pathlib import Path

import fsspec
import pytest

from diagonal_infra import file_marks, storage
from diagonal_infra.file_marks import file_marks as marks


def test_a_mark_is_another_once_the_file_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_marks, "CLOCK_NS", -(10**12))
    for name in ("a.x", "b.x", f"c.x{storage.PARTIAL_MARK}1", "d.y"):
        (tmp_path / name).write_bytes(b"1")
    first = marks(str(tmp_path), ".x")
    assert sorted(first) == ["a.x", "b.x"]
    assert marks(str(tmp_path), ".x") == first
    os.utime(tmp_path / "b.x", ns=(0, 0))
    storage.write_bytes(str(tmp_path / "a.x"), b"2")
    second = marks(str(tmp_path), ".x")
    assert first["a.x"] != second["a.x"] != ""
    assert first["b.x"] != second["b.x"] != ""
    assert marks(str(tmp_path / "nothing")) == {}


def test_a_file_of_this_moment_has_no_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_marks, "CLOCK_NS", 10**15)
    (tmp_path / "a").write_bytes(b"1")
    assert marks(str(tmp_path)) == {"a": ""}


def test_a_store_that_tells_nothing_of_an_object_gives_no_mark() -> None:
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe("/marks/a.x", b"1")
    assert marks("memory://marks", ".x") == {"a.x": ""}
    filesystem.rm("/marks", recursive=True)
