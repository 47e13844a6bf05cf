"""Set-ups that would train without an error, and wrongly."""

import dataclasses
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from diagonal_infra.errors import UserError
from diagonal_train import checkpoint
from diagonal_train.config.model import ModelConfig, TextConfig
from diagonal_train.config.optimizer import OptimizerConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World
from diagonal_train.encoders.models import DualEncoder, build_model, build_tokenizer
from diagonal_train.loop import train
from diagonal_train.planning.preflight import (
    batch_norm_warnings,
    check_activation,
    check_negatives,
    check_tokens,
    clock_warnings,
    schedule_warnings,
)
from diagonal_train.recipes import TRAIN
from diagonal_train.start import Start


def on_meta(config: ModelConfig) -> DualEncoder:
    with torch.device("meta"):
        return build_model(config)


@pytest.mark.parametrize("name", [name for name in TRAIN if "siglip" not in name])
def test_no_recipe_is_refused(name: str) -> None:
    config = TRAIN[name]()
    check_activation(config.model)
    check_negatives(config, samples=10**9)
    check_tokens(config.model, on_meta(config.model), build_tokenizer(config.model))


@pytest.mark.parametrize(
    ("name", "quick_gelu", "message"),
    [
        ("RN50", True, r"RN50 is built with GELU .* says QuickGELU"),
        ("RN50-quickgelu", False, r"RN50-quickgelu is built with QuickGELU .* says GELU"),
    ],
)
def test_the_other_activation_than_the_built_in_models_is_refused(
    name: str, quick_gelu: bool, message: str
) -> None:
    config = ModelConfig(name=name, embed_dim=1024, quick_gelu=quick_gelu)
    with pytest.raises(UserError, match=message):
        check_activation(config)
    check_activation(dataclasses.replace(config, quick_gelu=not quick_gelu))


def test_a_batch_of_one_pair_is_refused() -> None:
    stream = dataclasses.replace(TRAIN["tiny"]().stream, lanes=1)
    config = dataclasses.replace(TRAIN["tiny"](), stream=stream, global_batch_size=1)
    with pytest.raises(UserError, match="--global-batch-size 1 has no pair"):
        check_negatives(config, samples=100)


def test_a_dataset_smaller_than_a_batch_is_refused_before_the_first_step(
    tiny: Callable[..., TrainConfig],
) -> None:
    config = tiny(global_batch_size=128, samples_seen=256)
    with pytest.raises(UserError, match=r"--filter most has 96 samples .* --global-batch-size"):
        train(config, World())
    assert not Path(config.run, "config.json").exists()


def test_a_dataset_of_exactly_a_batch_is_enough() -> None:
    check_negatives(TRAIN["tiny"](), samples=16)
    with pytest.raises(UserError, match="15 samples"):
        check_negatives(TRAIN["tiny"](), samples=15)


def test_more_tokens_than_the_encoder_has_positions_are_refused() -> None:
    config = TRAIN["tiny"]().model
    longer = dataclasses.replace(config, text=dataclasses.replace(config.text, context_length=20))
    with pytest.raises(UserError, match=r"20 tokens .* 12 positions; set --model.text.context"):
        check_tokens(longer, on_meta(config), build_tokenizer(longer))


def test_ids_beyond_the_vocabulary_are_refused() -> None:
    config = TRAIN["tiny"]().model
    tokenizer = build_tokenizer(config)

    def shifted(captions: list[str]) -> Tensor:
        return tokenizer(captions) + 100

    with pytest.raises(UserError, match=r"ids up to 49507 .* vocabulary of 49408"):
        check_tokens(config, on_meta(config), shifted)


def test_an_end_that_is_not_the_highest_id_is_refused_where_that_is_pooled() -> None:
    config = TRAIN["tiny"]().model

    def ends_in_two(captions: list[str]) -> Tensor:
        return torch.tensor([[1, 900, 500, 2, 0, 0]] * len(captions))

    with pytest.raises(UserError, match="does not find the end of a caption"):
        check_tokens(config, on_meta(config), ends_in_two)


def test_an_end_token_that_the_tokenizer_never_gives_is_refused() -> None:
    config = ModelConfig(text=TextConfig(width=64, heads=1, layers=1))
    model = on_meta(config)
    model.clip.text_pool_type, model.clip.text_eos_id = "eos", 2
    with pytest.raises(UserError, match="does not find the end of a caption"):
        check_tokens(config, model, build_tokenizer(config))
    model.clip.text_eos_id = 49_407
    check_tokens(config, model, build_tokenizer(config))


def test_a_warmup_longer_than_the_run_is_warned_of() -> None:
    config = TRAIN["tiny"]()
    assert not list(schedule_warnings(config))
    long = dataclasses.replace(config, optimizer=OptimizerConfig(warmup_steps=40))
    (warning,) = schedule_warnings(long)
    assert "--optimizer.warmup-steps 40 are more than the 20 steps" in warning
    assert "to 50% of --optimizer.lr" in warning


def test_batch_norm_on_several_ranks_is_warned_of() -> None:
    resnet, transformer = on_meta(TRAIN["rn50"]().model), on_meta(TRAIN["tiny"]().model)
    (warning,) = batch_norm_warnings(resnet, World(world_size=2))
    assert "statistics are those of one rank of 2" in warning
    assert not list(batch_norm_warnings(resnet, World()))
    assert not list(batch_norm_warnings(transformer, World(world_size=2)))


def test_a_checkpoint_from_the_future_is_warned_of_and_used(
    tiny: Callable[..., TrainConfig], caplog: pytest.LogCaptureFixture
) -> None:
    config = tiny(samples_seen=32)
    train(config, World())
    found = checkpoint.latest_complete(config.run)
    assert found is not None
    manifest = Path(found.path, "manifest.json")
    written = manifest.stat().st_mtime
    start = Start(step=found.step, found=found)
    assert not list(clock_warnings(start, now=written - 59))
    assert not list(clock_warnings(Start(step=0, found=None), now=0))
    os.utime(manifest, (written + 3600, written + 3600))
    with caplog.at_level(logging.WARNING):
        assert train(config, World()).steps == 2
    assert "in the future: this machine's clock is behind" in caplog.text
