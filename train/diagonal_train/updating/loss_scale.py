"""The factor that keeps the small gradients of fp16 above its smallest number.

Gradients are taken of the loss times the factor, and divided by it before they are used. When they
overflow, the step is done again with half of it; after many steps that went well, it is doubled.
It is kept in `TrainState.meters`, so a run that goes on has it:

    {"loss_scale": {"value": 65536.0, "steps": 12}}    steps that went well since it last changed
"""

from collections.abc import Iterable
from typing import Any

from torch import Tensor

KEY = "loss_scale"
INITIAL = 2.0**16
STEPS_TO_DOUBLE = 2000
"""As torch.amp.GradScaler."""


def loss_scale(meters: dict[str, Any]) -> float:
    """The factor of this step."""
    return meters.setdefault(KEY, {"value": INITIAL, "steps": 0})["value"]


def unscale(gradients: Iterable[Tensor | None], scale: float) -> None:
    """Divide them by the factor, in place."""
    for gradient in gradients:
        if gradient is not None:
            gradient.mul_(1 / scale)


def shrink(meters: dict[str, Any]) -> bool:
    """Halve the factor after an overflow; False if it is 1 and so not to blame."""
    value = loss_scale(meters)
    meters[KEY] = {"value": max(1.0, value / 2), "steps": 0}
    return value > 1


def went_well(meters: dict[str, Any]) -> None:
    """Count a step without overflow."""
    value, steps = loss_scale(meters), meters[KEY]["steps"] + 1
    doubled = steps == STEPS_TO_DOUBLE
    meters[KEY] = {"value": value * 2 if doubled else value, "steps": 0 if doubled else steps}
