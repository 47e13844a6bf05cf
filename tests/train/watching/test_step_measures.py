import dataclasses
import math
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import torch

from diagonal_train.config.optimizer import OptimizerConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World
from diagonal_train.loop import set_up
from diagonal_train.step import Job, StepStats, train_step
from diagonal_train.stream import read_batches
from diagonal_train.streaming.batch import Batch
from diagonal_train.watching.step_measures import StepMeasures, encoder_of

Build = Callable[..., TrainConfig]
Stepped = tuple[Job, Batch, StepStats, dict[str, float], dict[str, torch.Tensor]]


def step_once(config: TrainConfig) -> Stepped:
    """One measured step, and the weights before it."""
    job = set_up(config, World())
    measures = StepMeasures(job)
    before = {name: p.detach().clone() for name, p in job.state.model.named_parameters()}
    with closing(read_batches(job.stream, 0)) as batches:
        batch = next(batches)
    measures.before()
    stats = train_step(job, batch, 0, stop=False)
    return job, batch, stats, measures.after(stats, batch.tokens, 100.0), before


def test_the_update_is_as_long_as_the_weights_moved(tiny: Build) -> None:
    job, _, _, found, before = step_once(tiny())
    moved = [(p - before[name]).norm() for name, p in job.state.model.named_parameters()]
    assert found["update_norm"] == pytest.approx(torch.stack(moved).norm().item(), rel=1e-5)
    assert found["update_norm"] > 0


@pytest.mark.parametrize("longest", [None, 1e-3])
def test_gradients_of_the_encoders_are_those_before_clipping(
    tiny: Build, longest: float | None
) -> None:
    optimizer = OptimizerConfig(lr=2e-3, warmup_steps=2, clip_grad_norm=longest)
    job, _, stats, found, _ = step_once(tiny(optimizer=optimizer))
    own = found["grad_norm_image"], found["grad_norm_text"]
    assert all(norm > 0 for norm in own)
    rest = job.state.model.logit_scale.grad
    assert rest is not None
    assert stats.grad_norm > 0.01
    assert math.hypot(*own) <= stats.grad_norm * 1.0001
    assert math.hypot(*own) > stats.grad_norm * 0.5


def test_logits_are_those_of_the_batch(tiny: Build) -> None:
    job, _, stats, found, _ = step_once(tiny())
    assert stats.features is not None
    image_BD, text_BD = stats.features
    logits_BB = job.state.model.logit_scale.exp().item() * image_BD @ text_BD.T
    own = [logits_BB[i, i].item() for i in range(16)]
    hardest = [max(logits_BB[i, j].item() for j in range(16) if j != i) for i in range(16)]
    assert found["logit_positive_mean"] == pytest.approx(sum(own) / 16, rel=1e-4)
    assert found["logit_hardest_mean"] == pytest.approx(sum(hardest) / 16, rel=1e-4)


def test_a_batch_of_one_has_no_hardest_negative(tiny: Build) -> None:
    _, batch, stats, _, _ = stepped = step_once(tiny())
    assert stats.features is not None
    one = dataclasses.replace(stats, features=(stats.features[0][:1], stats.features[1][:1]))
    found = StepMeasures(stepped[0]).after(one, batch.tokens, 1.0)
    assert "logit_hardest_mean" not in found
    assert "update_norm" not in found
    assert math.isfinite(found["logit_positive_std"])


def test_padding_is_what_stands_behind_the_captions(tiny: Build, tmp_path: Path) -> None:
    _, batch, _, found, _ = step_once(tiny())
    lengths = [int((row != 0).sum()) for row in batch.tokens]
    assert found["text_padding_share"] == pytest.approx(1 - sum(lengths) / (16 * 12), rel=1e-6)
    assert found["peak_memory_bytes"] > 50e6
    assert "mfu" not in found


def test_every_weight_but_scale_and_bias_is_of_an_encoder(tiny: Build) -> None:
    job = set_up(tiny(), World())
    of = {name: encoder_of(name) for name, _ in job.state.model.named_parameters()}
    assert [name for name, encoder in of.items() if encoder is None] == ["clip.logit_scale"]
    assert of["clip.visual.proj"] == "image"
    assert of["clip.token_embedding.weight"] == "text"
