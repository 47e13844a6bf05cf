import math

import pytest
import torch

from diagonal_train.config.optimizer import OptimizerConfig
from diagonal_train.models import build_model
from diagonal_train.optimizer import build_optimizer, clamp_logit_scale, lr_at, parameter_names
from diagonal_train.recipes import TRAIN


def test_lr_rises_linearly_then_falls_as_a_cosine() -> None:
    config = OptimizerConfig(lr=1.0, warmup_steps=4)
    rates = [lr_at(step, config=config, total_steps=12) for step in range(13)]
    assert rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates[8] == pytest.approx(0.5)
    assert rates[12] == pytest.approx(0)
    assert rates[4:] == sorted(rates[4:], reverse=True)


def test_gains_biases_embeddings_and_the_logit_scale_are_not_decayed() -> None:
    decayed, free = parameter_names(build_model(TRAIN["tiny"]().model))
    assert {name.rpartition(".")[2] for name in decayed} == {
        "weight",
        "in_proj_weight",
        "proj",
        "text_projection",
    }
    assert not [name for name in decayed if "ln_" in name]
    for name in ("logit_scale", "positional_embedding", "visual.class_embedding"):
        assert f"clip.{name}" in free


def test_every_parameter_is_in_one_group() -> None:
    model = build_model(TRAIN["demo"]().model)
    optimizer = build_optimizer(model, TRAIN["demo"]().optimizer)
    sizes = [len(group["params"]) for group in optimizer.param_groups]
    assert sum(sizes) == len(list(model.parameters()))
    assert [group["weight_decay"] > 0 for group in optimizer.param_groups] == [True, False]


@pytest.mark.parametrize(("value", "clamped"), [(9.0, math.log(100)), (-1.0, 0.0), (2.0, 2.0)])
def test_the_logit_scale_stays_between_0_and_ln_100(value: float, clamped: float) -> None:
    parameter = torch.nn.Parameter(torch.tensor(value))
    clamp_logit_scale(parameter)
    assert parameter.item() == pytest.approx(clamped)
