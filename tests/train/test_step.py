import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from diagonal_infra.errors import DiagonalError
from diagonal_train.config.augment import AugmentConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World
from diagonal_train.loop import set_up, train
from diagonal_train.step import Job, StepStats, train_step
from diagonal_train.stream import read_batches
from diagonal_train.streaming.batch import Batch
from diagonal_train.watching.stage_clock import STAGES

Build = Callable[..., TrainConfig]
Read = Callable[[Path | str], list[dict[str, Any]]]


def first_step(config: TrainConfig) -> tuple[Job, StepStats]:
    """A job behind its first step."""
    job = set_up(config, World())
    batch = next(read_batches(job.stream, 0))
    return job, train_step(job, batch, 0, stop=False)


def gradients(job: Job) -> list[Tensor]:
    return [p.grad for p in job.state.model.parameters() if p.grad is not None]


def test_micro_batches_of_any_size_give_the_same_step(tiny: Build) -> None:
    """With patches left out and images changed at random, too."""
    config = tiny(patch_dropout=0.5, augment=AugmentConfig(flip=0.5, colour=0.5, erase=0.5))
    whole, expected = first_step(config)
    for size in (8, 5, 1):
        job, stats = first_step(dataclasses.replace(config, micro_batch_size=size))
        assert stats.loss == pytest.approx(expected.loss, rel=1e-6)
        for left, right in zip(gradients(job), gradients(whole), strict=True):
            torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_two_ranks_with_micro_batches_train_as_one_without(
    tiny: Build, read_metrics: Read, run_ranks: Callable[..., None], loss: str
) -> None:
    config = tiny(samples_seen=80, loss=loss)
    train(config, World())
    places = ("--data", config.data, "--filter", "most", "--run", config.run + "-ranks")
    words = ["-m", "diagonal_train", "tiny", *places, "--samples-seen", "80", "--loss", loss]
    run_ranks([*words, "--micro-batch-size", "3"], 2)
    expected = [line["loss"] for line in read_metrics(config.run)]
    found = [line["loss"] for line in read_metrics(config.run + "-ranks")]
    assert found == pytest.approx(expected, rel=1e-4)
    assert expected[-1] < expected[0]


def test_the_sigmoid_loss_begins_with_its_papers_scale_and_bias(tiny: Build) -> None:
    job = set_up(tiny(loss="sigmoid"), World())
    assert job.state.model.logit_scale.item() == pytest.approx(math.log(10))
    assert job.state.model.logit_bias is not None
    assert job.state.model.logit_bias.item() == -10
    assert set_up(tiny(), World()).state.model.logit_bias is None


def test_fp16_trains_about_the_same_and_its_loss_scale_goes_on(
    tiny: Build, finished_run: TrainConfig, read_metrics: Read
) -> None:
    config = tiny(precision="fp16")
    job, stats = first_step(config)
    assert stats.loss == pytest.approx(read_metrics(finished_run.run)[0]["loss"], rel=0.01)
    assert job.state.meters["loss_scale"]["steps"] == 1
    # A scale far too high overflows: the step is done again until it does not.
    job.state.meters["loss_scale"] = {"value": 2.0**120, "steps": 7}
    batch = next(read_batches(job.stream, 0))
    assert math.isfinite(train_step(job, batch, 1, stop=False).grad_norm)
    assert job.state.meters["loss_scale"]["value"] < 2.0**120
    assert job.state.meters["loss_scale"]["steps"] == 1


@pytest.mark.parametrize("kind", ["full", "selective"])
@pytest.mark.parametrize("micro", [None, 5])
def test_checkpointed_activations_change_no_bit(tiny: Build, kind: str, micro: int | None) -> None:
    config = tiny(micro_batch_size=micro)
    plain, expected = first_step(config)
    job, stats = first_step(dataclasses.replace(config, activation_checkpointing=kind))
    assert stats.loss == expected.loss
    for left, right in zip(gradients(job), gradients(plain), strict=True):
        assert torch.equal(left, right)


def test_a_caption_that_stands_twice_is_counted(tiny: Build) -> None:
    job = set_up(tiny(), World())
    batch = next(read_batches(job.stream, 0))
    tokens = torch.arange(1, 13).repeat(16, 1) + torch.arange(16)[:, None]
    tokens[[3, 9, 15]] = tokens[0].clone()
    distinct = dataclasses.replace(batch, tokens=tokens)
    assert train_step(job, distinct, 0, stop=False).duplicate_captions == 3


@pytest.mark.parametrize(("value", "clamped"), [(9.0, math.log(100)), (-3.0, 0.0)])
def test_a_step_leaves_the_scale_at_its_clamp_and_trains_on(
    tiny: Build, value: float, clamped: float
) -> None:
    job = set_up(tiny(), World())
    batches = read_batches(job.stream, 0)
    with torch.no_grad():
        job.state.model.logit_scale.fill_(value)
    before = [p.detach().clone() for p in job.state.model.parameters()]
    for step in range(2):
        stats = train_step(job, next(batches), step, stop=False)
        assert math.isfinite(stats.loss)
        assert not stats.skipped
        assert job.state.model.logit_scale.item() == pytest.approx(clamped, abs=0.01)
        assert 0 <= job.state.model.logit_scale.item() <= math.log(100) + 1e-6
    moved = zip(before, job.state.model.parameters(), strict=True)
    assert sum(not torch.equal(left, right) for left, right in moved) > len(before) / 2


def test_a_step_says_where_its_time_went(tiny: Build) -> None:
    seconds = first_step(tiny(micro_batch_size=5))[1].seconds
    assert tuple(seconds) == STAGES
    assert all(each > 0 for each in seconds.values())


def test_running_out_of_memory_says_what_to_change(tiny: Build) -> None:
    class Huge(nn.Module):
        def forward(self, images_BCHW: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
            return (images_BCHW.new_empty(2**50),)

    job = set_up(tiny(), World())
    batch: Batch = next(read_batches(job.stream, 0))
    with pytest.raises(
        DiagonalError, match=r"embeds 16 of its 16 .*--micro-batch-size 8 or --activation-check"
    ):
        train_step(dataclasses.replace(job, replica=Huge()), batch, 0, stop=False)


def test_another_runtime_error_is_left_as_it_is(tiny: Build) -> None:
    class Broken(nn.Module):
        def forward(self, *_: Tensor) -> tuple[Tensor, ...]:
            raise RuntimeError("shapes do not fit")

    job = set_up(tiny(), World())
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        train_step(
            dataclasses.replace(job, replica=Broken()),
            next(read_batches(job.stream, 0)),
            0,
            stop=False,
        )
