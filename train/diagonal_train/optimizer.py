"""AdamW with weight decay on matrices only, its learning rate, and the bound of the logit scale."""

import math

import torch
from torch import nn

from diagonal_train.config.optimizer import OptimizerConfig
from diagonal_train.ema import update_average
from diagonal_train.state import TrainState

MAX_LOGIT_SCALE = math.log(100)
"""Logits are at most 100 times the cosine (Radford et al., 2021, §2.5)."""
EMBEDDING_NAMES = ("positional_embedding", "class_embedding", "pos_embed", "cls_token")


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW over two groups: those with weight decay, then those without."""
    decayed, free = parameter_names(model)
    parameters = dict(model.named_parameters())
    return torch.optim.AdamW(
        [
            {"params": [parameters[n] for n in decayed], "weight_decay": config.weight_decay},
            {"params": [parameters[n] for n in free], "weight_decay": 0.0},
        ],
        lr=config.lr,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        fused=True,
    )


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


def lr_at(step: int, *, config: OptimizerConfig, total_steps: int) -> float:
    """Learning rate of optimizer step `step`, counted from 0: linear rise, then half a cosine."""
    warmup = config.warmup_steps
    if step < warmup:
        return config.lr * (step + 1) / warmup
    progress = (step - warmup) / max(1, total_steps - warmup)
    return config.lr * 0.5 * (1 + math.cos(math.pi * progress))


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group the same learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr


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
