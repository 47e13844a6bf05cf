import multiprocessing
import random
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from diagonal_train.streaming import index_cache
from diagonal_train.streaming.index_cache import COLUMNS, IndexTable, ShardFile, cached

SHARDS = [ShardFile(path="☃.tar", size=7, mark="m"), ShardFile(path="b", size=None, mark="")]


def table(count: int = 50, uid: pa.Array | None = None) -> IndexTable:
    numbers = np.arange(count)
    columns = [numbers.astype(np.int32), np.zeros(count, np.int32), numbers * 512, numbers + 1]
    if uid is None:
        uid = pa.array([f"key {i}" for i in range(count)], pa.large_string())
    batch = pa.RecordBatch.from_arrays([*map(pa.array, columns), uid], list(COLUMNS))
    return IndexTable(shards=SHARDS, columns=batch, digest="d")


def never() -> IndexTable:
    raise AssertionError("built though it is cached")


UIDS = {
    "texts": pa.array([f"{'☃' * i}" for i in range(50)], pa.large_string()),
    "binary": pa.array([bytes([i]) * 16 for i in range(50)], pa.binary(16)),
}


@pytest.mark.parametrize("uid", UIDS.values(), ids=UIDS)
def test_what_was_built_is_read_again(tmp_path: Path, uid: pa.Array) -> None:
    built = cached("k", lambda: table(uid=uid), folder=str(tmp_path))
    read = cached("k", never, folder=str(tmp_path))
    for found in (built, read):
        assert found.columns.equals(table(uid=uid).columns)
        assert (found.shards, found.digest) == (SHARDS, "d")


def test_another_key_is_built(tmp_path: Path) -> None:
    cached("k", table, folder=str(tmp_path))
    assert cached("l", lambda: table(3), folder=str(tmp_path)).columns.num_rows == 3
    assert cached("k", never, folder=str(tmp_path)).columns.num_rows == 50


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    place = content.index(b"key 17")
    return content[:place] + b"kex" + content[place + 3 :]


@pytest.mark.parametrize(
    "damage", [cut, flipped, lambda _: b"", lambda _: b"no arrow", lambda c: bytes(len(c))]
)
def test_a_damaged_file_is_built_again(
    tmp_path: Path, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    cached("k", table, folder=str(tmp_path))
    path = tmp_path / "k.arrow"
    good = path.read_bytes()
    path.unlink()
    path.write_bytes(damage(good))
    assert cached("k", table, folder=str(tmp_path)).columns.equals(table().columns)
    assert path.read_bytes() == good
    assert "damaged index" in caplog.text


def test_no_damage_is_taken_for_an_index(tmp_path: Path) -> None:
    cached("k", table, folder=str(tmp_path))
    path, rng = tmp_path / "k.arrow", random.Random(0)
    good = path.read_bytes()
    for _ in range(60):
        content = bytearray(good)
        content[rng.randrange(len(good))] ^= 1 << rng.randrange(8)
        path.unlink()
        path.write_bytes(content)
        assert cached("k", table, folder=str(tmp_path)).columns.to_pydict() == (
            table().columns.to_pydict()
        )


def test_a_folder_that_cannot_be_written_leaves_the_index_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    found = cached("k", table, folder=str(tmp_path / "file" / "cache"))
    assert found.columns.num_rows == 50
    assert "the index stays in memory" in caplog.text


def test_a_file_that_cannot_be_written_leaves_the_index_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "k.arrow").mkdir()
    assert cached("k", table, folder=str(tmp_path)).columns.num_rows == 50
    assert "the index stays in memory" in caplog.text


def test_what_building_raises_is_not_taken_for_the_caches_trouble(tmp_path: Path) -> None:
    def build() -> IndexTable:
        raise OSError("a shard is gone")

    with pytest.raises(OSError, match="a shard is gone"):
        cached("k", build, folder=str(tmp_path))
    assert cached("k", table, folder=str(tmp_path)).digest == "d"


def build_slowly(folder: str, started: threading.Event, go: threading.Event) -> IndexTable:
    def build() -> IndexTable:
        started.set()
        assert go.wait(60)
        with (Path(folder) / "built").open("a") as file:
            file.write("x")
        return table()

    return cached("k", build, folder=folder)


def open_in_process(folder: str, started: threading.Event, go: threading.Event) -> None:
    assert build_slowly(folder, started, go).columns.num_rows == 50


def test_of_several_processes_one_builds_and_the_others_wait(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    started, go = context.Event(), context.Event()
    arguments = (str(tmp_path), started, go)
    processes = [context.Process(target=open_in_process, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    assert started.wait(60)
    go.set()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert (tmp_path / "built").read_text() == "x"


def test_the_wait_for_another_process_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(index_cache, "LOCK_SECONDS", 0.0)
    caplog.set_level("INFO")
    started, go = threading.Event(), threading.Event()
    other = threading.Thread(target=build_slowly, args=(str(tmp_path), started, go))
    other.start()
    assert started.wait(60)
    assert cached("k", table, folder=str(tmp_path)).columns.num_rows == 50
    assert "another process" in caplog.text
    assert "k.lock" in caplog.text
    go.set()
    other.join(60)
    assert cached("k", never, folder=str(tmp_path)).columns.num_rows == 50


def test_the_default_folder_is_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert index_cache.default_folder() == tmp_path / "diagonal" / "index"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert index_cache.default_folder() == tmp_path / "home" / ".cache" / "diagonal" / "index"
