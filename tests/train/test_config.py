import dataclasses

import pytest

from diagonal_infra import run_dir
from diagonal_infra.cli import parse_recipe
from diagonal_infra.errors import UserError
from diagonal_train.config.augment import AugmentConfig
from diagonal_train.config.compare import differing_fields
from diagonal_train.config.model import model_config_from
from diagonal_train.config.optimizer import OptimizerConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.recipes import TRAIN
from diagonal_train.streaming.config import LoaderConfig


@pytest.mark.parametrize("name", list(TRAIN))
def test_a_model_config_survives_json(name: str) -> None:
    model = TRAIN[name]().model
    assert model_config_from(run_dir.resolved(model)) == model


def test_a_model_config_of_other_code_is_refused_by_its_fields() -> None:
    record = run_dir.resolved(TRAIN["tiny"]().model)
    vision = {**record["vision"], "dropout": 0.1}
    with pytest.raises(UserError, match="VisionConfig has dropout, unknown here"):
        model_config_from({**record, "vision": vision})
    del record["quick_gelu"]
    with pytest.raises(UserError, match="ModelConfig lacks quick_gelu"):
        model_config_from(record)


@pytest.mark.parametrize("name", list(TRAIN))
def test_every_recipe_is_a_command(name: str) -> None:
    words = [name, "--data", "d", "--filter", "None", "--run", "r", "--stream.num-workers", "0"]
    config = parse_recipe(TRAIN, description="", args=words)
    assert (config.data, config.filter, config.run) == ("d", None, "r")


def test_the_demo_needs_no_argument() -> None:
    config = parse_recipe(TRAIN, description="", args=["demo"])
    places = (config.data, config.filter, config.run)
    assert places == ("out/demo/dataset", None, "out/demo/run")


def test_vit_b32_has_the_papers_numbers() -> None:
    config = TRAIN["vit-b32"]()
    optimizer = config.optimizer
    assert (optimizer.lr, optimizer.beta1, optimizer.beta2) == (5e-4, 0.9, 0.98)
    assert (optimizer.eps, optimizer.weight_decay, optimizer.warmup_steps) == (1e-6, 0.2, 2000)
    assert (config.global_batch_size, config.samples_seen) == (32_768, 12_800_000_000)


def test_what_changes_the_computation_is_named_and_the_rest_is_free() -> None:
    config = TRAIN["tiny"]()
    before = run_dir.resolved(config)
    stream = dataclasses.replace(config.stream, num_workers=2)
    free = dataclasses.replace(config, run="x", workers=2, log_every_steps=7, stream=stream)
    assert differing_fields(before, run_dir.resolved(free)) == []
    changed = dataclasses.replace(config, seed=1, optimizer=OptimizerConfig(lr=0.1, warmup_steps=2))
    differences = differing_fields(before, run_dir.resolved(changed))
    assert differences == ["--optimizer.lr was 0.002, is 0.1", "--seed was 0, is 1"]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: TrainConfig(global_batch_size=100), "no multiple of --stream.lanes 64; 128 is"),
        (lambda: TrainConfig(samples_seen=1), "--samples-seen 1 is less than one batch of 32768"),
        (lambda: LoaderConfig(crop_scale=(0.9, 0.5)), "--stream.crop-scale"),
        (lambda: AugmentConfig(flip=2), "--augment.flip is a probability, got 2"),
    ],
)
def test_values_that_cannot_be_are_refused_by_flag(build: object, message: str) -> None:
    assert callable(build)
    with pytest.raises(ValueError, match=message):
        build()
