"""All that a run is behind a step, and all that a checkpoint holds of it."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from diagonal_train.encoders.models import DualEncoder


@dataclass(frozen=True, kw_only=True)
class TrainState:
    """What a step changes; what it computes depends on this, its number and the seed only."""

    model: DualEncoder
    optimizer: torch.optim.Optimizer
    averaged: dict[str, Tensor] | None = None
    meters: dict[str, Any] = field(default_factory=dict)
