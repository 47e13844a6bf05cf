import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from diagonal_infra.errors import UserError
from diagonal_train import checkpoint
from diagonal_train.config.checkpoint import CheckpointConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World
from diagonal_train.encoders.load import load_model
from diagonal_train.loop import train
from diagonal_train.updating.ema import ema_decay_at, start_average, update_average

Build = Callable[..., TrainConfig]


def weights(run: str, *, averaged: bool | None = None) -> dict[str, torch.Tensor]:
    return load_model(run, averaged=averaged).model.state_dict()


def assert_equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


def test_the_average_is_that_of_the_formula_and_counters_are_copied() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(3, 2)
    model = nn.Sequential(linear, nn.BatchNorm1d(2))
    averaged = start_average(model, 0.9)
    assert averaged is not None
    expected = linear.weight.detach().double()
    for _ in range(3):
        model(torch.randn(4, 3))
        with torch.no_grad():
            linear.weight += torch.randn(2, 3)
        update_average(averaged, model, 0.9)
        expected = 0.9 * expected + 0.1 * linear.weight.detach().double()
    torch.testing.assert_close(averaged["0.weight"].double(), expected, rtol=1e-6, atol=1e-7)
    assert averaged["1.num_batches_tracked"] == 3
    assert 0 < averaged["1.running_mean"].abs().sum() < model.state_dict()["1.running_mean"].norm(1)


def test_the_decay_rises_to_its_value_and_none_is_none() -> None:
    decays = [ema_decay_at(step, 0.99) for step in (0, 10, 10_000)]
    assert decays == [0.1, 0.55, 0.99]
    assert ema_decay_at(7, None) is None
    assert start_average(nn.Linear(1, 1), None) is None


@pytest.fixture
def averaged_run(tiny: Build) -> TrainConfig:
    """Six steps of `tiny` with an average, saved after the third."""
    config = tiny(ema_decay=0.9, samples_seen=96, checkpoint=CheckpointConfig(every_steps=3))
    train(config, World())
    return config


def test_evaluation_takes_the_average_unless_told_otherwise(averaged_run: TrainConfig) -> None:
    run = averaged_run.run
    loaded = load_model(run)
    assert loaded.averaged
    average, last = weights(run, averaged=True), weights(run, averaged=False)
    assert_equal(loaded.model.state_dict(), average)
    same = [name for name in last if torch.equal(average[name], last[name])]
    assert "clip.logit_scale" not in same
    assert len(same) < len(last) / 2
    assert_equal(
        load_model(run, 0).model.state_dict(), load_model(run, 0, averaged=False).model.state_dict()
    )


def test_an_average_goes_on_to_the_bit(averaged_run: TrainConfig) -> None:
    run = averaged_run.run
    average, last = weights(run, averaged=True), weights(run, averaged=False)
    shutil.rmtree(checkpoint.folder(run, 6))
    (Path(run) / "summary.json").unlink()
    assert train(averaged_run, World()).started_at_step == 3
    assert_equal(weights(run, averaged=True), average)
    assert_equal(weights(run, averaged=False), last)


def test_a_run_without_an_average_says_so(finished_run: TrainConfig) -> None:
    assert not load_model(finished_run.run).averaged
    with pytest.raises(UserError, match=r"no averaged weights; train with --ema-decay"):
        load_model(finished_run.run, averaged=True)


def test_a_decay_outside_0_to_1_is_refused(tiny: Build) -> None:
    with pytest.raises(ValueError, match="--ema-decay is between 0 and 1, got 1"):
        tiny(ema_decay=1.0)
