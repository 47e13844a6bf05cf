"""The optimizer with weight decay on matrices only, and the bound of the logit scale."""

import logging
import math
from collections import defaultdict
from typing import Any

import torch
from torch import nn

from diagonal_train.config.optimizer import OptimizerConfig
from diagonal_train.encoders.layers import layers_of
from diagonal_train.state import TrainState
from diagonal_train.updating.ema import update_average
from diagonal_train.updating.stable_adamw import StableAdamW

logger = logging.getLogger(__name__)
MAX_LOGIT_SCALE = math.log(100)
"""Logits are at most 100 times the cosine (Radford et al., 2021, §2.5)."""
EMBEDDING_NAMES = ("positional_embedding", "class_embedding", "pos_embed", "cls_token")


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimizer over the trained parameters, in groups of one weight decay and `lr_scale`.

    Raises:
        UserError: layers have learning rates of their own, and an encoder has no layers.
    """
    groups = parameter_groups(model, config)
    options: dict[str, Any] = {
        "lr": config.lr,
        "betas": (config.beta1, config.beta2),
        "eps": config.eps,
    }
    logger.debug("no weight decay on %s", " ".join(parameter_names(model)[1]))
    if config.kind == "stable-adamw":
        return StableAdamW(groups, **options)
    return torch.optim.AdamW(groups, **options, fused=True)


def parameter_groups(model: nn.Module, config: OptimizerConfig) -> list[dict[str, Any]]:
    """Trained parameters by weight decay, those with it first, and by share of the lr."""
    parameters, scales = dict(model.named_parameters()), lr_scales(model, config.layer_lr_decay)
    groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    decays = (config.weight_decay, 0.0)
    for names, weight_decay in zip(parameter_names(model), decays, strict=True):
        for name in names:
            groups[weight_decay, scales[name]].append(parameters[name])
    return [
        {"params": members, "weight_decay": weight_decay, "lr_scale": scale}
        for (weight_decay, scale), members in groups.items()
    ]


def lr_scales(model: nn.Module, layer_lr_decay: float) -> dict[str, float]:
    """What every parameter's learning rate is multiplied by, by name."""
    if layer_lr_decay == 1:
        return {name: 1.0 for name, _ in model.named_parameters()}
    return {
        name: 1.0 if layer is None else layer_lr_decay**layer.below_last
        for name, layer in layers_of(model).items()
    }


def parameter_names(model: nn.Module) -> tuple[list[str], list[str]]:
    """Names of the trained parameters that decay, and of those that do not.

    The paper spares gains and biases; embeddings of position and class and the logit scale are
    added to them, as open_clip does since 4.0.
    """
    names: tuple[list[str], list[str]] = ([], [])
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            spared = parameter.ndim < 2 or name.rpartition(".")[2] in EMBEDDING_NAMES
            names[spared].append(name)
    return names


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group its share of the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def update(state: TrainState, *, ema_decay: float | None = None) -> None:
    """Apply the gradients of a step, and let the averaged weights follow if there are any."""
    state.optimizer.step()
    clamp_logit_scale(state.model.logit_scale)
    if state.averaged is not None:
        assert ema_decay is not None
        update_average(state.averaged, state.model, ema_decay)


@torch.no_grad()
def clamp_logit_scale(logit_scale: nn.Parameter) -> None:
    """Keep the logit scale in [0, ln 100]; called after each step."""
    logit_scale.clamp_(0, MAX_LOGIT_SCALE)
