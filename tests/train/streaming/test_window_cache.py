import dataclasses
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from diagonal_infra.errors import UserError
from diagonal_train.streaming.index import ShardFile
from diagonal_train.streaming.window import Runs, Window
from diagonal_train.streaming.window_cache import (
    CacheError,
    SharedFolder,
    UnnamedFiles,
    window_name,
    write_at,
)

SIZE = 100_000
SHARD = ShardFile(path="s3://pictures/0.tar", size=10**9, mark="one")


def window_at(number: int) -> tuple[Window, Runs]:
    begin = number * SIZE
    window = Window(shard=0, begin=begin, end=begin + SIZE)
    return window, Runs(begins=[begin], ends=[begin + SIZE])


def filler(number: int) -> Callable[[int], None]:
    return lambda descriptor: write_at(descriptor, 0, bytes([number]) * SIZE)


def fail(_: int) -> None:
    raise AssertionError("it is there already")


def fill(cache: SharedFolder, number: int, write: Callable[[int], object] | None = None) -> bytes:
    """A window through the cache: SIZE bytes that all are its number."""
    descriptor = cache.filled(SHARD, *window_at(number), write or filler(number))
    content = os.pread(descriptor, SIZE, 0)
    os.close(descriptor)
    return content


def on_disk(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.iterdir())


def has(cache: SharedFolder, number: int) -> bool:
    return (cache.folder / f"{window_name(SHARD, *window_at(number))}.window").exists()


@pytest.fixture
def cache(tmp_path: Path) -> SharedFolder:
    """Room for five windows."""
    return SharedFolder(folder=tmp_path / "c", max_bytes=5 * SIZE + 90_000, patience_seconds=0.3)


def test_a_window_is_filled_once(cache: SharedFolder) -> None:
    assert fill(cache, 7) == fill(cache, 7, fail) == bytes([7]) * SIZE


def test_another_shard_window_or_content_has_another_name() -> None:
    window, runs = window_at(3)
    names = {
        window_name(shard, at, needed)
        for shard in (
            SHARD,
            dataclasses.replace(SHARD, mark="two"),
            dataclasses.replace(SHARD, size=5),
            dataclasses.replace(SHARD, path="s3://pictures/1.tar"),
        )
        for at in (window, dataclasses.replace(window, end=window.end + 1))
        for needed in (runs, dataclasses.replace(runs, ends=[window.end - 1]))
    }
    assert len(names) == 16


@pytest.mark.parametrize("size", [0, SIZE - 1])
def test_a_window_of_another_length_is_filled_again(cache: SharedFolder, size: int) -> None:
    fill(cache, 1)
    (path,) = cache.folder.glob("*.window")
    os.truncate(path, size)
    assert fill(cache, 1) == bytes([1]) * SIZE


def test_what_fails_while_it_is_filled_leaves_nothing(cache: SharedFolder) -> None:
    def break_off(descriptor: int) -> None:
        write_at(descriptor, 0, b"half")
        raise FileNotFoundError("gone")

    for filled in (cache.filled, UnnamedFiles().filled):
        with pytest.raises(FileNotFoundError, match="gone"):
            filled(SHARD, *window_at(1), break_off)
    assert [path.name for path in cache.folder.iterdir()] == [".lock"]


KILLED = """
import os, signal, sys
from pathlib import Path
from diagonal_train.streaming.index import ShardFile
from diagonal_train.streaming.window import Runs, Window
from diagonal_train.streaming.window_cache import SharedFolder, write_at
def die(descriptor):
    write_at(descriptor, 0, b"half")
    os.kill(os.getpid(), signal.SIGKILL)
cache = SharedFolder(folder=Path(sys.argv[1]), max_bytes=10**6, patience_seconds=1)
shard = ShardFile(path="s3://pictures/0.tar", size=10**9, mark="one")
window = Window(shard=0, begin=100_000, end=200_000)
cache.filled(shard, window, Runs(begins=[100_000], ends=[200_000]), die)
"""


def test_a_killed_writer_leaves_no_window_and_its_rest_is_removed(cache: SharedFolder) -> None:
    for number in (1, 2):
        killed = subprocess.run([sys.executable, "-c", KILLED, str(cache.folder)], check=False)
        assert killed.returncode == -9
        assert not has(cache, 1)
        assert len(list(cache.folder.glob("*.partial"))) == 1
        # The same window takes the rest over, another one removes it.
        assert fill(cache, number) == bytes([number]) * SIZE
        assert list(cache.folder.glob("*.partial")) == []
        for path in cache.folder.glob("*.window"):
            path.unlink()


def test_two_that_want_the_same_window_fill_it_once(cache: SharedFolder) -> None:
    patient = dataclasses.replace(cache, patience_seconds=30)
    filling, go_on = threading.Event(), threading.Event()
    found: list[bytes] = []

    def slowly(descriptor: int) -> None:
        filling.set()
        assert go_on.wait(30)
        filler(1)(descriptor)

    first = threading.Thread(target=lambda: found.append(fill(patient, 1, slowly)))
    second = threading.Thread(target=lambda: found.append(fill(patient, 1, fail)))
    first.start()
    assert filling.wait(30)
    second.start()
    with pytest.raises(CacheError, match=r"another process held .*\.partial too long"):
        fill(cache, 1, fail)
    go_on.set()
    first.join()
    second.join()
    assert found == [bytes([1]) * SIZE] * 2


def test_the_windows_used_longest_ago_make_room(cache: SharedFolder) -> None:
    for number in range(5):
        fill(cache, number)
        path = cache.folder / f"{window_name(SHARD, *window_at(number))}.window"
        os.utime(path, ns=(number, number))
    fill(cache, 0, fail)
    assert on_disk(cache.folder) <= cache.max_bytes
    fill(cache, 5)
    assert [number for number in range(6) if has(cache, number)] == [0, 2, 3, 4, 5]
    assert on_disk(cache.folder) <= cache.max_bytes


def test_a_window_that_is_open_when_it_goes_stays_readable(cache: SharedFolder) -> None:
    descriptor = cache.filled(SHARD, *window_at(0), filler(0))
    for number in range(1, 8):
        fill(cache, number)
    assert not has(cache, 0)
    assert os.pread(descriptor, SIZE, 0) == bytes(SIZE)
    os.close(descriptor)


def test_a_window_larger_than_the_bound_is_no_use(cache: SharedFolder) -> None:
    small = dataclasses.replace(cache, max_bytes=SIZE)
    with pytest.raises(CacheError, match=r"--stream.window-cache-gb is less than what is in use"):
        fill(small, 0)
    assert list(cache.folder.glob("*.[wp]*")) == []


FILLING = """
import os, sys
from pathlib import Path
from diagonal_train.streaming.index import ShardFile
from diagonal_train.streaming.window import Runs, Window
from diagonal_train.streaming.window_cache import SharedFolder, write_at
SIZE = 100_000
cache = SharedFolder(folder=Path(sys.argv[1]), max_bytes=int(sys.argv[2]), patience_seconds=30)
for number in range(100):
    shard = ShardFile(path=f"s3://pictures/{sys.argv[3]}-{number}.tar", size=SIZE, mark="")
    window, runs = Window(shard=0, begin=0, end=SIZE), Runs(begins=[0], ends=[SIZE])
    fill = lambda descriptor: write_at(descriptor, 0, bytes([number]) * SIZE)
    descriptor = cache.filled(shard, window, runs, fill)
    assert os.pread(descriptor, SIZE, 0) == bytes([number]) * SIZE
    os.close(descriptor)
"""


def test_two_processes_hold_the_bound_together(cache: SharedFolder) -> None:
    command = [sys.executable, "-c", FILLING, str(cache.folder), str(cache.max_bytes)]
    processes = [subprocess.Popen([*command, name]) for name in ("a", "b")]
    most = 0
    while any(process.poll() is None for process in processes):
        # A file may go between the two looks.
        with suppress(FileNotFoundError):
            most = max(most, on_disk(cache.folder))
        with suppress(subprocess.TimeoutExpired):
            processes[0].wait(0.005)
    assert [process.returncode for process in processes] == [0, 0]
    assert 3 * SIZE < most <= cache.max_bytes


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for three windows."""
    folder = tmp_path / "small"
    folder.mkdir()
    size = f"size={3 * SIZE + 90_000}"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "none", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("only root can mount a file system of its own")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_made_room_on(small_disk: Path, cache: SharedFolder) -> None:
    there = dataclasses.replace(cache, folder=small_disk, max_bytes=10**9)
    for number in range(8):
        assert fill(there, number) == bytes([number]) * SIZE
    for path in small_disk.glob("*.window"):
        path.unlink()
    others = small_disk / "others"
    with suppress(OSError), others.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    with pytest.raises(CacheError, match="No space left"):
        fill(there, 9)
    others.unlink()
    assert fill(there, 9) == bytes([9]) * SIZE


def test_a_folder_that_cannot_be_made_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match=r"choose another --stream.window-cache or None"):
        SharedFolder(folder=tmp_path / "file" / "c", max_bytes=1, patience_seconds=1)
