"""All that a run is behind a step, and all that a checkpoint holds of it."""

from dataclasses import dataclass, field
from typing import Any

import torch

from diagonal_train.models import DualEncoder


@dataclass(frozen=True, kw_only=True)
class TrainState:
    """What a step changes; what it computes depends on this, its number and the seed only."""

    model: DualEncoder
    optimizer: torch.optim.Optimizer
    meters: dict[str, Any] = field(default_factory=dict)
