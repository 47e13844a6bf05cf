import copy
import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from diagonal_infra.errors import UserError
from diagonal_train import checkpoint
from diagonal_train.config.checkpoint import CheckpointConfig
from diagonal_train.config.model import ModelConfig, VisionConfig
from diagonal_train.config.schedule import ScheduleConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World
from diagonal_train.encoders.load import load_model
from diagonal_train.encoders.models import DualEncoder, build_model, build_tokenizer
from diagonal_train.encoders.schedule import follow_schedule, positions_for
from diagonal_train.loop import train
from diagonal_train.recipes import TRAIN

Read = Callable[[Path | str], list[dict[str, Any]]]
SMALL = ScheduleConfig(image_sizes=((0, 16), (32, 32)), context_lengths=((0, 5), (64, 12)))


@pytest.fixture
def model() -> DualEncoder:
    """The model of `tiny`, of 4×4 patches, that takes smaller images."""
    torch.manual_seed(0)
    config = TRAIN["tiny"]().model
    model = build_model(config)
    follow_schedule(model, build_tokenizer(config), SMALL)
    return model


@pytest.mark.parametrize(("grid", "wanted"), [((7, 7), (4, 4)), ((4, 6), (2, 5)), ((4, 4), (4, 4))])
def test_positions_are_resized_as_a_picture(grid: tuple[int, int], wanted: tuple[int, int]) -> None:
    torch.manual_seed(0)
    positions_PD = torch.randn(grid[0] * grid[1] + 1, 8)
    found_PD = positions_for(positions_PD, grid, wanted)
    picture = positions_PD[1:].unflatten(0, grid).permute(2, 0, 1)[None]
    resized = F.interpolate(picture, wanted, mode="bicubic", antialias=True)
    torch.testing.assert_close(found_PD[1:], resized[0].permute(1, 2, 0).flatten(0, 1))
    assert torch.equal(found_PD[0], positions_PD[0])


def test_at_its_own_size_the_model_computes_as_before(model: DualEncoder) -> None:
    plain = build_model(TRAIN["tiny"]().model)
    plain.load_state_dict(model.state_dict())
    images_BCHW = torch.randn(2, 3, 32, 32)
    assert torch.equal(model.encode_image(images_BCHW), plain.encode_image(images_BCHW))


def test_a_smaller_image_is_embedded_by_a_smaller_model(model: DualEncoder) -> None:
    config = dataclasses.replace(TRAIN["tiny"]().model, image_size=16)
    smaller = build_model(config)
    weights = copy.copy(model.state_dict())
    name = "clip.visual.positional_embedding"
    weights[name] = positions_for(weights[name], (4, 4), (2, 2))
    smaller.load_state_dict(weights)
    images_BCHW = torch.randn(2, 3, 16, 16)
    found_BD, expected_BD = model.encode_image(images_BCHW), smaller.encode_image(images_BCHW)
    torch.testing.assert_close(found_BD, expected_BD)
    found_BD[:, 0].sum().backward()
    gradient = model.clip.visual.positional_embedding.grad
    assert bool((gradient.abs().sum(1) > 0).all())


def test_a_copied_model_uses_its_own_weights(model: DualEncoder) -> None:
    other = copy.deepcopy(model)
    torch.nn.init.zeros_(other.clip.visual.class_embedding)
    images_BCHW = torch.randn(1, 3, 16, 16)
    assert not torch.equal(model.encode_image(images_BCHW), other.encode_image(images_BCHW))


def scheduled(tiny: Callable[..., TrainConfig], run: str) -> TrainConfig:
    checkpoints = CheckpointConfig(every_steps=1, keep=9)
    return tiny(schedule=SMALL, samples_seen=96, checkpoint=checkpoints, run=run)


@pytest.mark.parametrize("step", [1, 2, 5])
def test_a_run_goes_on_to_the_bit_at_any_step(
    tiny: Callable[..., TrainConfig], read_metrics: Read, tmp_path: Path, step: int
) -> None:
    whole = scheduled(tiny, str(tmp_path / "whole"))
    train(whole, World())
    other = scheduled(tiny, str(tmp_path / "other"))
    shutil.copytree(whole.run, other.run)
    for later in range(step + 1, 7):
        shutil.rmtree(checkpoint.folder(other.run, later))
    (Path(other.run) / "summary.json").unlink()
    assert train(other, World()).started_at_step == step
    losses = [[line["loss"] for line in read_metrics(c.run)] for c in (whole, other)]
    assert losses[0] == losses[1]
    found, expected = (load_model(c.run).model.state_dict() for c in (other, whole))
    assert [name for name in found if not torch.equal(found[name], expected[name])] == []


def test_two_ranks_with_workers_train_as_one_process(
    tiny: Callable[..., TrainConfig],
    read_metrics: Read,
    run_ranks: Callable[..., None],
    tmp_path: Path,
) -> None:
    config = scheduled(tiny, str(tmp_path / "one"))
    train(config, World())
    two = str(tmp_path / "two")
    words = ["-m", "diagonal_train", "tiny", "--data", config.data, "--filter", "most"]
    words += ["--run", two, "--samples-seen", "96", "--stream.num-workers", "2"]
    words += ["--schedule.image-sizes", "0", "16", "32", "32"]
    words += ["--schedule.context-lengths", "0", "5", "64", "12"]
    run_ranks(words, 2)
    expected = [line["loss"] for line in read_metrics(config.run)]
    assert [line["loss"] for line in read_metrics(two)] == pytest.approx(expected, rel=1e-4)


def test_what_cannot_follow_a_schedule_says_so() -> None:
    tiny = TRAIN["tiny"]().model
    model, tokenizer = build_model(tiny), build_tokenizer(tiny)
    with pytest.raises(UserError, match=r"has 20, no multiple of the patch of 8; 16 is"):
        follow_schedule(model, tokenizer, ScheduleConfig(image_sizes=((0, 20),)))
    with pytest.raises(UserError, match="cuts captions of CLIP's own tokenizer only"):
        follow_schedule(model, len, ScheduleConfig(context_lengths=((0, 5),)))
    resnet = ModelConfig(vision=VisionConfig(timm_name="resnet10t"), text=tiny.text)
    with pytest.raises(UserError, match="needs a vision transformer"):
        follow_schedule(build_model(resnet), tokenizer, SMALL)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (ScheduleConfig(image_sizes=((0, 64),)), "--schedule.image-sizes has 64"),
        (ScheduleConfig(context_lengths=((0, 13),)), "--schedule.context-lengths has 13"),
    ],
)
def test_sizes_above_the_models_are_refused(
    tiny: Callable[..., TrainConfig], schedule: ScheduleConfig, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(schedule=schedule)
