"""An exponential moving average of the weights, which evaluation and export take in their place.

    averaged ← decay(n) · averaged + (1 − decay(n)) · weights      after the step with index n

The average starts as the initial weights; `decay(n)` rises with n, so that these soon weigh
nothing, however short the run. It is all of the model's state: the logit scale and running
statistics as well. Under FSDP2 every rank averages its own shards, and nothing is gathered.
"""

# pyright: reportPrivateImportUsage=false
# torch's own optimizers are built of the _foreach functions, which have no public names.

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor


def start_average(model: nn.Module, decay: float | None) -> dict[str, Tensor] | None:
    """The average before the first step, or None where none is wanted."""
    if decay is None:
        return None
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def ema_decay_at(step: int, decay: float | None) -> float | None:
    """The decay behind step `step`, counted from 0: (1 + n) / (10 + n), at most `decay`."""
    return None if decay is None else min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def update_average(averaged: dict[str, Tensor], model: nn.Module, decay: float) -> None:
    """Move the average towards the model's state; counters are copied."""
    now = model.state_dict()
    means, values = [], []
    for name, mean in averaged.items():
        if mean.is_floating_point():
            means.append(local(mean))
            values.append(local(now[name]))
        else:
            mean.copy_(now[name])
    torch._foreach_lerp_(means, values, 1 - decay)


def local(tensor: Tensor) -> Tensor:
    """This rank's part of a tensor that may be sharded, sharing its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
