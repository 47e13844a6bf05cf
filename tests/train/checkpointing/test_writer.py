import errno
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from tests.train.checkpointing import dying_save
from tests.train.checkpointing.dying_save import small_state

from diagonal_infra.errors import CheckpointError
from diagonal_train import checkpoint
from diagonal_train.checkpoint import Saver
from diagonal_train.checkpointing import writer
from diagonal_train.config.checkpoint import CheckpointConfig
from diagonal_train.distributed import World


class Clock:
    """In place of `time`: nobody waits."""

    def __init__(self) -> None:
        self.seconds, self.pauses = 0.0, 0

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.pauses += 1


class DownStore(MemoryFileSystem):
    """A store that answers no request before a time."""

    protocol = "down"
    clock = Clock()
    until = 0.0

    def _answer(self) -> None:
        if DownStore.clock.seconds < DownStore.until:
            raise OSError(errno.ECONNREFUSED, "the store is down")

    def open(self, *args: Any, **options: Any) -> Any:
        self._answer()
        return super().open(*args, **options)

    def rm_file(self, path: str) -> None:
        self._answer()
        super().rm_file(path)

    def rm(self, *args: Any, **options: Any) -> None:
        self._answer()
        super().rm(*args, **options)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """The clock of the writer and of `down://`."""
    fsspec.register_implementation("down", DownStore, clobber=True)
    DownStore.clock, DownStore.until = Clock(), 0.0
    monkeypatch.setattr(writer, "time", DownStore.clock)
    yield DownStore.clock
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def save(saver: Saver, step: int) -> None:
    saver.save(small_state(), step=step, samples_seen=step)


def newest(run: str) -> int:
    return checkpoint.find(run, None).step


def test_a_save_that_is_killed_at_any_instant_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, dying_save.__file__, str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 8


def test_a_store_that_is_down_for_five_minutes_costs_no_checkpoint(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    run = "down://bucket/run"
    with Saver(run, World(), CheckpointConfig(), data_digest="d") as saver:
        save(saver, 1)
        saver.wait()
        DownStore.until = 300
        save(saver, 2)
    assert newest(run) == 2
    assert 300 <= clock.seconds < 300 + writer.LONGEST_PAUSE_SECONDS
    assert clock.pauses < 15
    assert "trying again in 0.5 s" in caplog.text


def test_a_store_that_is_down_for_longer_than_is_waited_keeps_the_older(clock: Clock) -> None:
    run = "down://bucket/run"
    saver = Saver(run, World(), CheckpointConfig(retry_seconds=600), data_digest="d")
    save(saver, 1)
    saver.wait()
    DownStore.until = 700
    save(saver, 2)
    with pytest.raises(CheckpointError, match="the store is down"):
        saver.wait()
    assert clock.seconds <= 600
    DownStore.until = 0
    assert newest(run) == 1
    save(saver, 3)
    saver.wait()
    assert newest(run) == 3


def test_a_disk_that_is_full_costs_a_save_and_says_so(
    small_disk: Path, fill: Callable[[Path], Path], caplog: pytest.LogCaptureFixture
) -> None:
    run = str(small_disk)
    with Saver(run, World(), CheckpointConfig(), data_digest="d") as saver:
        save(saver, 1)
        saver.wait()
        filler = fill(small_disk)
        save(saver, 2)
        saver._join(allowed=1)
        assert "checkpoint not saved step=2" in caplog.text
        assert "No space left on device" in caplog.text
        assert newest(run) == 1
        filler.unlink()
        save(saver, 3)
    assert checkpoint.steps(run) == [1, 3]
    assert newest(run) == 3
