import os
from pathlib import Path

import fsspec
import pytest

from diagonal_infra import storage
from diagonal_infra.errors import StorageError, UserError


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = str(tmp_path / "new" / "file.bin")

    def fail_in_the_middle() -> None:
        with storage.write_whole(path) as file:
            file.write(b"half")
            raise RuntimeError("the writer broke")

    with pytest.raises(RuntimeError, match="the writer broke"):
        fail_in_the_middle()
    assert list((tmp_path / "new").iterdir()) == []
    storage.write_bytes(path, b"whole")
    assert storage.read_bytes(path) == b"whole"
    assert storage.list_files(str(tmp_path / "new")) == ["file.bin"]


def test_an_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = str(tmp_path / "file.bin")
    storage.write_bytes(path, b"old")
    with storage.write_whole(path) as file:
        file.write(b"new")
        file.flush()
        assert storage.read_bytes(path) == b"old"
    assert storage.read_bytes(path) == b"new"


def test_a_killed_writers_leftover_is_not_listed_and_can_be_removed(tmp_path: Path) -> None:
    (tmp_path / f"a.tar{storage.PARTIAL_MARK}123").write_bytes(b"half")
    (tmp_path / "b.tar").write_bytes(b"whole")
    assert storage.list_files(str(tmp_path)) == ["b.tar"]
    storage.delete_partials(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["b.tar"]


def test_an_object_store_gets_one_object_under_its_final_name() -> None:
    filesystem = fsspec.filesystem("memory")
    storage.write_bytes("memory://bucket/a/file.bin", b"content")
    assert filesystem.find("/bucket") == ["/bucket/a/file.bin"]
    assert storage.read_bytes("memory://bucket/a/file.bin") == b"content"
    assert storage.list_files("memory://bucket/a") == ["file.bin"]
    storage.delete("memory://bucket/a/file.bin")
    assert not storage.exists("memory://bucket/a/file.bin")


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    for name in ("list-000.csv", "list-001.csv", "other.csv"):
        (tmp_path / name).write_text(name)
    return tmp_path


def names(paths: list[str]) -> list[str]:
    return [Path(path).name for path in paths]


def test_patterns_and_folders_expand_in_order(lists: Path) -> None:
    two = ["list-000.csv", "list-001.csv"]
    assert names(storage.expand(f"{lists}/list-{{000..001}}.csv")) == two
    assert names(storage.expand(f"{lists}/list-*.csv")) == two
    assert names(storage.expand(str(lists))) == [*two, "other.csv"]
    assert storage.read_bytes(storage.expand(f"{lists}/other.csv")[0]) == b"other.csv"


def test_a_pattern_with_a_missing_file_is_the_users_mistake(lists: Path) -> None:
    with pytest.raises(UserError, match=r"no file matches '.*list-002.csv'"):
        storage.expand(f"{lists}/list-{{001..002}}.csv")


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match="cannot write to"):
        storage.check_writable(str(tmp_path / "file"))
    storage.check_writable(str(tmp_path / "folder"))
    assert list((tmp_path / "folder").iterdir()) == []


def fail_in_the_middle(path: str) -> None:
    with storage.write_whole(path) as file:
        file.write(b"half" * 1000)
        raise RuntimeError("the writer broke")


def test_a_failed_write_leaves_no_object() -> None:
    with pytest.raises(RuntimeError, match="the writer broke"):
        fail_in_the_middle("memory://aborted/file.bin")
    assert not fsspec.filesystem("memory").find("/aborted")


def test_a_folder_has_one_writer_at_a_time(tmp_path: Path) -> None:
    with storage.sole_writer(str(tmp_path)):
        second = storage.sole_writer(str(tmp_path))
        with pytest.raises(UserError, match="another run is writing"):
            second.__enter__()
    with storage.sole_writer(str(tmp_path)):
        assert (tmp_path / storage.LOCK_NAME).exists()


@pytest.mark.parametrize("scheme", ["", "memory://"])
def test_a_folder_is_deleted_with_all_in_it_and_may_be_missing(tmp_path: Path, scheme: str) -> None:
    folder = f"{scheme}{tmp_path}/d"
    storage.write_bytes(f"{folder}/in/a", b"abc")
    storage.write_bytes(f"{folder}-2/b", b"")
    assert storage.size(f"{folder}/in/a") == 3
    for _ in range(2):
        storage.delete_tree(folder)
        assert not storage.exists(f"{folder}/in/a")
    assert storage.exists(f"{folder}-2/b")


def test_a_files_time_is_that_of_its_last_write(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    os.utime(path, (1000.5, 2000.5))
    assert storage.modified(str(path)) == 2000.5
    with pytest.raises(StorageError, match="look for"):
        storage.modified(str(tmp_path / "none"))
