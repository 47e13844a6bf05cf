import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from diagonal_train import checkpoint
from diagonal_train.config.checkpoint import CheckpointConfig
from diagonal_train.config.lock import LockConfig
from diagonal_train.config.model import ModelConfig, VisionConfig
from diagonal_train.config.optimizer import OptimizerConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World
from diagonal_train.encoders.load import load_model
from diagonal_train.encoders.locking import lock
from diagonal_train.encoders.models import build_model
from diagonal_train.loop import train
from diagonal_train.recipes import TRAIN
from diagonal_train.updating.optimizer import build_optimizer

Build = Callable[..., TrainConfig]
Read = Callable[[Path | str], list[dict[str, Any]]]


@pytest.fixture
def locked(tiny: Build) -> TrainConfig:
    """Six steps of `tiny` with the image encoder as it began, saved after the third."""
    checkpoints = CheckpointConfig(every_steps=3)
    return tiny(lock=LockConfig(image=True), samples_seen=96, checkpoint=checkpoints)


def weights(run: str, step: int | None = None) -> dict[str, torch.Tensor]:
    return load_model(run, step).model.state_dict()


def test_a_locked_encoder_keeps_its_weights_and_is_saved(locked: TrainConfig) -> None:
    train(locked, World())
    before, after = weights(locked.run, 0), weights(locked.run)
    moved = [name for name, value in after.items() if not torch.equal(value, before[name])]
    assert "clip.logit_scale" in moved
    assert "clip.text_projection" in moved
    assert not [name for name in moved if ".visual." in name]


def test_a_locked_run_goes_on_to_the_bit(locked: TrainConfig) -> None:
    train(locked, World())
    expected = weights(locked.run)
    shutil.rmtree(checkpoint.folder(locked.run, 6))
    (Path(locked.run) / "summary.json").unlink()
    assert train(locked, World()).started_at_step == 3
    found = weights(locked.run)
    assert [name for name in found if not torch.equal(found[name], expected[name])] == []


def test_two_ranks_with_a_locked_encoder_train_as_one(
    locked: TrainConfig,
    tmp_path: Path,
    tiny: Build,
    run_ranks: Callable[..., None],
    read_metrics: Read,
) -> None:
    train(locked, World())
    two = str(tmp_path / "two")
    words = ["-m", "diagonal_train", "tiny", "--data", locked.data, "--filter", "most"]
    words += ["--run", two, "--samples-seen", "96", "--lock.image"]
    run_ranks(words, 2)
    assert json.loads((Path(two) / "summary.json").read_text())["world_size"] == 2
    expected = [line["loss"] for line in read_metrics(locked.run)]
    assert [line["loss"] for line in read_metrics(two)] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("groups", "trained"),
    [
        (0, set()),
        (1, {"proj"}),
        (2, {"proj", "ln_post", "transformer"}),
        (
            3,
            {
                "proj",
                "ln_post",
                "transformer",
                "conv1",
                "class_embedding",
                "positional_embedding",
                "ln_pre",
            },
        ),
    ],
)
def test_groups_are_unlocked_from_the_last_on(groups: int, trained: set[str]) -> None:
    model = build_model(TRAIN["tiny"]().model)
    lock(model, LockConfig(image=True, image_unlocked_groups=groups))
    open_names = [name for name, p in model.named_parameters() if p.requires_grad]
    in_image = [name.split(".")[2] for name in open_names if ".visual." in name]
    assert set(in_image) == trained
    optimizer = build_optimizer(model, OptimizerConfig())
    sizes = [len(group["params"]) for group in optimizer.param_groups]
    assert sum(sizes) == len(open_names)


def test_a_locked_text_encoder_leaves_image_and_scale() -> None:
    model = build_model(TRAIN["tiny"]().model)
    lock(model, LockConfig(text=True))
    open_names = {name for name, p in model.named_parameters() if p.requires_grad}
    assert "clip.logit_scale" in open_names
    assert all(".visual." in name for name in open_names - {"clip.logit_scale"})


@pytest.mark.parametrize("image", [True, False])
def test_locked_batch_normalisation_keeps_its_statistics(image: bool) -> None:
    text = TRAIN["tiny"]().model.text
    vision = VisionConfig(timm_name="resnet10t")
    model = build_model(ModelConfig(embed_dim=32, image_size=64, vision=vision, text=text))
    lock(model, LockConfig(image=image))
    names = [name for name in model.state_dict() if "running_mean" in name]
    before = {name: model.state_dict()[name].clone() for name in names}
    model.train()
    model.encode_image(torch.randn(4, 3, 64, 64))
    kept = [torch.equal(model.state_dict()[name], before[name]) for name in names]
    assert kept == [image] * len(names)
    assert len(names) > 5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image": True, "text": True}, "leave nothing to train"),
        ({"image_unlocked_groups": 2}, "--lock.image-unlocked-groups 2 needs --lock.image"),
        ({"image": True, "image_unlocked_groups": -1}, "must not be negative"),
    ],
)
def test_locks_that_make_no_sense_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LockConfig(**fields)
