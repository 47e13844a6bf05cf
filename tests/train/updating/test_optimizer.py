import math

import pytest
import torch

from diagonal_train.config.optimizer import OptimizerConfig
from diagonal_train.encoders.models import build_model
from diagonal_train.recipes import TRAIN
from diagonal_train.updating.optimizer import (
    build_optimizer,
    clamp_logit_scale,
    lr_scales,
    parameter_names,
    set_lr,
)


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


def test_lower_layers_learn_more_slowly_in_both_encoders() -> None:
    model = build_model(TRAIN["tiny"]().model)
    scales = lr_scales(model, 0.5)
    assert scales["clip.logit_scale"] == scales["clip.visual.proj"] == 1
    assert scales["clip.text_projection"] == 1
    assert scales["clip.visual.transformer.resblocks.0.ln_1.weight"] == 0.5
    assert scales["clip.token_embedding.weight"] == scales["clip.visual.conv1.weight"] == 0.25
    optimizer = build_optimizer(model, OptimizerConfig(layer_lr_decay=0.5))
    set_lr(optimizer, 8.0)
    found = {group["lr"] for group in optimizer.param_groups}
    assert found == {8.0, 4.0, 2.0}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(scales)


def test_what_does_not_decay_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="diagonal_train.updating.optimizer")
    build_optimizer(build_model(TRAIN["tiny"]().model), OptimizerConfig())
    assert "clip.visual.positional_embedding" in caplog.text
    assert "in_proj_weight" not in caplog.text


@pytest.mark.parametrize(("value", "clamped"), [(9.0, math.log(100)), (-1.0, 0.0), (2.0, 2.0)])
def test_the_logit_scale_stays_between_0_and_ln_100(value: float, clamped: float) -> None:
    parameter = torch.nn.Parameter(torch.tensor(value))
    clamp_logit_scale(parameter)
    assert parameter.item() == pytest.approx(clamped)
