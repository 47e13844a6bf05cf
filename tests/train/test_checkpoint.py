import json
import shutil
from pathlib import Path

import pytest
import torch

from diagonal_infra.errors import CheckpointError, UserError
from diagonal_train import checkpoint
from diagonal_train.checkpointing import writer
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World
from diagonal_train.encoders.models import DualEncoder
from diagonal_train.state import TrainState


@pytest.fixture
def run(finished_run: TrainConfig, tmp_path: Path) -> str:
    """A copy of a finished run that the test may damage."""
    shutil.copytree(finished_run.run, tmp_path / "copy")
    return str(tmp_path / "copy")


def newest(run: str) -> int:
    found = checkpoint.latest_complete(run)
    assert found is not None
    return found.step


def test_the_newest_complete_checkpoint_is_found(run: str) -> None:
    assert checkpoint.steps(run) == [0, 10, 20]
    found = checkpoint.latest_complete(run)
    assert found is not None
    assert (found.step, found.samples_seen) == (20, 320)


@pytest.mark.parametrize("damage", ["flip", "truncate", "lose", "no manifest", "half a manifest"])
def test_a_damaged_checkpoint_is_passed_over(run: str, damage: str) -> None:
    folder = checkpoint.folder(run, 20)
    data, manifest = next(folder.glob("*.distcp")), folder / "manifest.json"
    content = data.read_bytes()
    if damage == "flip":
        data.write_bytes(content[:1000] + bytes([content[1000] ^ 1]) + content[1001:])
    elif damage == "truncate":
        data.write_bytes(content[:-1])
    elif damage == "lose":
        data.unlink()
    elif damage == "no manifest":
        manifest.unlink()
    else:
        manifest.write_bytes(manifest.read_bytes()[:40])
    assert newest(run) == 10
    with pytest.raises(CheckpointError, match="step-00000020"):
        checkpoint.find(run, 20)


def test_a_checkpoint_of_newer_code_is_refused_and_not_passed_over(run: str) -> None:
    path = checkpoint.folder(run, 20) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 99}))
    with pytest.raises(UserError, match=r"step-00000020 was written by newer code .*version 99"):
        checkpoint.latest_complete(run)


def test_a_checkpoint_set_aside_is_none(run: str) -> None:
    folder = checkpoint.folder(run, 20)
    folder.rename(folder.with_name(folder.name + ".partial-0"))
    assert newest(run) == 10


def test_an_empty_run_has_no_checkpoint(tmp_path: Path) -> None:
    assert checkpoint.latest_complete(str(tmp_path)) is None


def test_pruning_keeps_the_newest_and_the_initial_weights(run: str) -> None:
    checkpoint.prune(run, 1, saved=20)
    assert checkpoint.steps(run) == [0, 20]


def test_pruning_takes_damaged_later_folders_and_not_the_good_ones(run: str) -> None:
    for later in (30, 40):
        shutil.copytree(checkpoint.folder(run, 20), checkpoint.folder(run, later))
        next(checkpoint.folder(run, later).glob("*.distcp")).unlink()
    checkpoint.prune(run, 1, saved=20)
    assert checkpoint.steps(run) == [0, 20]
    assert newest(run) == 20


def test_pruning_counts_complete_checkpoints_only(run: str) -> None:
    for step in (30, 40):
        shutil.copytree(checkpoint.folder(run, 20), checkpoint.folder(run, step))
    (checkpoint.folder(run, 30) / "manifest.json").unlink()
    checkpoint.prune(run, 2, saved=40)
    assert checkpoint.steps(run) == [0, 20, 30, 40]
    checkpoint.prune(run, 1, saved=40)
    assert checkpoint.steps(run) == [0, 40]


def test_the_name_of_a_checkpoint_is_made_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[Path, list[str]]] = []

    def watch(folder: Path) -> None:
        synced.append((folder, sorted(path.name for path in folder.iterdir())))

    monkeypatch.setattr(writer, "sync_folder", watch)
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    state = TrainState(model=DualEncoder(model), optimizer=optimizer)
    checkpoint.save(str(tmp_path), World(), state=state, step=0, samples_seen=0, data_digest="x")
    assert "manifest.json" in synced[0][1]
    assert synced[-1] == (tmp_path / "checkpoints", ["step-00000000"])
