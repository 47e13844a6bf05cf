"""What is found in a run folder, and whether a run may begin or go on there."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from diagonal_infra.errors import CheckpointError, UserError
from diagonal_train import checkpoint
from diagonal_train.config.model import ModelConfig
from diagonal_train.config.optimizer import OptimizerConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World
from diagonal_train.loop import train
from diagonal_train.start import plan_start, read_config

Build = Callable[..., TrainConfig]


@pytest.fixture
def begun(tiny: Build, finished_run: TrainConfig) -> TrainConfig:
    """A run of 20 steps that was killed behind its checkpoint of step 10."""
    config = tiny()
    shutil.copytree(finished_run.run, config.run)
    checkpoint.delete_after(config.run, 10)
    (Path(config.run) / "summary.json").unlink()
    return config


def digest_of(run: str) -> str:
    return checkpoint.find(run, None).data_digest


def test_other_settings_are_shown_and_refused_unless_the_user_says_so(
    begun: TrainConfig, caplog: pytest.LogCaptureFixture
) -> None:
    other = dataclasses.replace(begun, optimizer=OptimizerConfig(lr=1e-4, warmup_steps=2))
    said = "--optimizer.lr was 0.002, is 0.0001"
    with pytest.raises(UserError, match=rf"{said}; use .* add --accept-changes"):
        train(other, World())
    assert read_config(begun.run)["optimizer"]["lr"] == 0.002
    result = train(dataclasses.replace(other, accept_changes=True), World())
    assert (result.started_at_step, result.finished) == (10, True)
    assert said in caplog.text
    assert read_config(begun.run)["optimizer"]["lr"] == 1e-4
    # From now on these are the run's settings.
    with pytest.raises(UserError, match=r"--optimizer.lr was 0.0001, is 0.002"):
        train(begun, World())


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"model": ModelConfig(embed_dim=48)}, "--model.embed-dim"),
        ({"global_batch_size": 32}, "--global-batch-size"),
        ({"loss": "sigmoid"}, "--loss"),
        ({"ema_decay": 0.9}, "--ema-decay"),
    ],
)
def test_what_the_saved_state_must_fit_cannot_be_changed_at_all(
    begun: TrainConfig, changes: dict[str, object], flag: str
) -> None:
    other = dataclasses.replace(begun, accept_changes=True, **changes)  # pyright: ignore[reportArgumentType]  # each field has its own type
    with pytest.raises(UserError, match=rf"its state does not fit {flag}"):
        plan_start(other, digest_of(begun.run))


def test_another_runs_checkpoint_is_refused(begun: TrainConfig) -> None:
    path = checkpoint.folder(begun.run, 10) / "manifest.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "config_digest": "of another run"}))
    with pytest.raises(UserError, match="is not what the checkpoint was made with"):
        plan_start(begun, digest_of(begun.run))


@pytest.mark.parametrize("content", ["[]", '"text"', "{}", '{"schema_version": "two"}', "\udc80"])
def test_a_manifest_that_is_none_costs_its_checkpoint_only(
    begun: TrainConfig, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(checkpoint.folder(begun.run, 10), checkpoint.folder(begun.run, 15))
    path = checkpoint.folder(begun.run, 15) / "manifest.json"
    path.write_bytes(content.encode(errors="surrogateescape"))
    assert plan_start(begun, digest_of(begun.run)).step == 10
    assert "passing over a checkpoint" in caplog.text


def test_a_run_of_which_nothing_is_whole_does_not_silently_begin_anew(begun: TrainConfig) -> None:
    digest = digest_of(begun.run)
    next(checkpoint.folder(begun.run, 10).glob("*.distcp")).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"no checkpoint .* is whole, up to that of step 10"):
        plan_start(begun, digest)
    # What a kill amid a first save leaves on a store is no loss.
    (checkpoint.folder(begun.run, 10) / "manifest.json").unlink()
    assert plan_start(begun, digest).step == 0


def test_a_folder_with_another_programs_checkpoints_is_refused(tiny: Build) -> None:
    config = tiny()
    folder = Path(config.run, "checkpoints")
    folder.mkdir(parents=True)
    (folder / ".hidden").touch()
    assert plan_start(config, "").found is None
    (folder / "epoch_1.pt").touch()
    with pytest.raises(UserError, match=r"another program \(epoch_1.pt\); use another --run"):
        plan_start(config, "")


@pytest.mark.parametrize("record", [{"config": {"samples_per_shard": 9}}, {"model_type": "clip"}])
def test_the_folder_of_another_command_is_refused(tiny: Build, record: dict[str, object]) -> None:
    config = tiny()
    Path(config.run).mkdir()
    path = Path(config.run, "config.json")
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match="use another --run"):
        train(config, World())
    assert json.loads(path.read_text()) == record
