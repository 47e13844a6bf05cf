import errno
import json
import logging
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem
from torch import nn

from diagonal_infra import storage
from diagonal_infra.errors import CheckpointError
from diagonal_train import checkpoint
from diagonal_train.checkpoint import Saver
from diagonal_train.checkpointing import manifest, writer
from diagonal_train.config.checkpoint import CheckpointConfig
from diagonal_train.distributed import World
from diagonal_train.encoders.models import DualEncoder
from diagonal_train.state import TrainState


@pytest.fixture
def state() -> TrainState:
    """Two linear layers behind one optimizer step."""
    model = DualEncoder(nn.Sequential(nn.Linear(40, 30), nn.Linear(30, 2)))
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return TrainState(model=model, optimizer=optimizer, meters={"losses": [1.5]})


@pytest.fixture
def remote() -> Iterator[str]:
    """A run on fsspec's store in memory."""
    yield "memory://bucket/run"
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


class FailingStore(MemoryFileSystem):
    """A store that refuses the next `failures` writes."""

    protocol = "failing"
    failures = 0

    def open(self, path: str, mode: str = "rb", *args: Any, **options: Any) -> Any:
        if mode == "wb" and FailingStore.failures:
            FailingStore.failures -= 1
            raise OSError(errno.EIO, "the store is down")
        return super().open(path, mode, *args, **options)


@pytest.fixture
def failing() -> Iterator[str]:
    """A run on a store whose writes fail as often as the test says."""
    fsspec.register_implementation("failing", FailingStore, clobber=True)
    yield "failing://bucket/run"
    FailingStore.failures = 0
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def open_saver(run: str | Path, **options: object) -> Saver:
    return Saver(str(run), World(), CheckpointConfig(**options), data_digest="d", config_digest="c")  # pyright: ignore[reportArgumentType]  # each option has its own type


def save(saver: Saver, state: TrainState, step: int) -> None:
    saver.save(state, step=step, samples_seen=16 * step)


def newest(run: str | Path) -> int | None:
    found = checkpoint.latest_complete(str(run))
    return found.step if found else None


def test_what_is_saved_is_the_state_at_the_call(tmp_path: Path, state: TrainState) -> None:
    weight = state.model.clip[0].weight
    before = weight.detach().clone()
    with open_saver(tmp_path) as saver:
        save(saver, state, 1)
        with torch.no_grad():
            weight.zero_()
        state.optimizer.state.clear()
        state.meters["losses"].append(0.1)
    found = checkpoint.find(str(tmp_path), 1)
    assert (found.samples_seen, found.config_digest) == (16, "c")
    state.meters.clear()
    checkpoint.load(found, state)
    assert torch.equal(weight, before)
    assert state.meters == {"losses": [1.5]}
    assert all("exp_avg" in kept for kept in state.optimizer.state.values())


def test_training_goes_on_while_a_checkpoint_is_written(tmp_path: Path, state: TrainState) -> None:
    released = threading.Event()

    def hold(record: logging.LogRecord) -> bool:
        # The writer's last line waits for what the test does behind the save.
        return released.wait(30)

    log = logging.getLogger(writer.__name__)
    log.setLevel(logging.INFO)
    log.addFilter(hold)
    try:
        with open_saver(tmp_path) as saver:
            save(saver, state, 1)
            released.set()
    finally:
        log.removeFilter(hold)
        log.setLevel(logging.NOTSET)
    assert newest(tmp_path) == 1


@contextmanager
def full_disk() -> Iterator[None]:
    """The kernel refuses to write past the first page of a file (EFBIG in place of ENOSPC)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("asynchronous", [True, False])
def test_saves_that_fail_keep_the_older_and_stop_the_run_at_the_third(
    tmp_path: Path, state: TrainState, asynchronous: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING")
    saver = open_saver(tmp_path, asynchronous=asynchronous)
    save(saver, state, 1)
    save(saver, state, 2)
    saver.wait()
    with full_disk():
        for step in (3, 4, 5):
            save(saver, state, step)
        with pytest.raises(CheckpointError, match=r"3 saves in a row failed, .*: .*File too large"):
            save(saver, state, 6)
    warned = [text for text in caplog.messages if text.startswith("checkpoint not saved")]
    assert [text.split("step=")[1][0] for text in warned] == ["3", "4", "5"]
    assert checkpoint.steps(str(tmp_path)) == [1, 2]
    assert newest(tmp_path) == 2
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {
        "step-00000001",
        "step-00000002",
    }


def test_a_failed_save_in_between_is_forgiven(tmp_path: Path, state: TrainState) -> None:
    with open_saver(tmp_path, asynchronous=False) as saver:
        for step in range(1, 6):
            if step % 2:
                save(saver, state, step)
            else:
                with full_disk():
                    save(saver, state, step)
    assert checkpoint.steps(str(tmp_path)) == [1, 3, 5]


def test_a_last_save_that_fails_is_an_error_of_the_run(tmp_path: Path, state: TrainState) -> None:
    saver = open_saver(tmp_path)
    with full_disk():
        save(saver, state, 1)
        with pytest.raises(CheckpointError, match="1 saves in a row failed"), saver:
            pass


def test_an_error_of_the_loop_is_not_hidden_by_one_of_the_save(
    tmp_path: Path, state: TrainState
) -> None:
    saver = open_saver(tmp_path)
    with full_disk():
        save(saver, state, 1)
        with pytest.raises(ZeroDivisionError), saver:
            raise ZeroDivisionError


def test_a_remote_run_is_saved_read_found_and_pruned(remote: str, state: TrainState) -> None:
    with open_saver(remote, keep=1) as saver:
        for step in (0, 1, 2):
            save(saver, state, step)
    assert checkpoint.steps(remote) == [0, 2]
    before = state.model.clip[0].weight.detach().clone()
    with torch.no_grad():
        state.model.clip[0].weight.zero_()
    checkpoint.load(checkpoint.find(remote, None), state)
    assert torch.equal(state.model.clip[0].weight, before)
    checkpoint.load_weights(checkpoint.find(remote, 0), state.model)


@pytest.mark.parametrize("name", ["manifest.json", ".metadata", "__0_0.distcp"])
def test_a_remote_checkpoint_that_lacks_a_file_is_passed_over(
    remote: str, state: TrainState, name: str
) -> None:
    with open_saver(remote) as saver:
        save(saver, state, 1)
        save(saver, state, 2)
    storage.delete(storage.join(manifest.place(remote, 2), name))
    assert newest(remote) == 1


def test_a_store_that_fails_is_asked_again(failing: str, state: TrainState) -> None:
    with open_saver(failing) as saver:
        FailingStore.failures = 2
        save(saver, state, 1)
        saver.wait()
    assert FailingStore.failures == 0
    assert newest(failing) == 1


def test_a_store_that_stays_down_fails_the_save_and_keeps_the_older(
    failing: str, state: TrainState
) -> None:
    with open_saver(failing, retry_seconds=0) as saver:
        save(saver, state, 1)
        saver.wait()
        FailingStore.failures = 1000
        save(saver, state, 2)
        with pytest.raises(CheckpointError, match="the store is down"):
            saver.wait()
        FailingStore.failures = 0
    assert newest(failing) == 1
    record = json.loads(storage.read_bytes(f"{manifest.place(failing, 1)}/manifest.json"))
    assert record["schema_version"] == manifest.SCHEMA_VERSION
