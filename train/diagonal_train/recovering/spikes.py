"""Which steps must not be applied: not finite, or far above those before."""

import math
import statistics
from typing import Any

from diagonal_train.config.recovery import RecoveryConfig

HISTORY = 200
"""Steps whose loss and gradient norm a spike is measured against."""
LEAST_HISTORY = 20
"""Fewer say too little."""
NORMAL_DEVIATION = 1.4826
"""A normal distribution's standard deviation, of its median absolute deviation."""
LEAST_DEVIATION = 0.01
"""Of the median: a flat history makes no small change a spike."""
Meters = dict[str, Any]
"""`TrainState.meters`."""


def must_skip(meters: Meters, config: RecoveryConfig, *, loss: float, grad_norm: float) -> bool:
    """Whether a step's update must not be applied."""
    if not (math.isfinite(loss) and math.isfinite(grad_norm)):
        return True
    history = meters.get("history", {"loss": [], "grad_norm": []})
    limit = config.spike_sigma
    return limit is not None and (
        deviations(loss, history["loss"]) > limit
        or deviations(grad_norm, history["grad_norm"]) > limit
    )


def deviations(value: float, history: list[float]) -> float:
    """How far above the median, in robust standard deviations; 0 while little is known."""
    if len(history) < LEAST_HISTORY:
        return 0.0
    median = statistics.median(history)
    spread = NORMAL_DEVIATION * statistics.median(abs(each - median) for each in history)
    return (value - median) / max(spread, LEAST_DEVIATION * abs(median), 1e-12)


def add_to_history(meters: Meters, *, loss: float, grad_norm: float) -> None:
    """Remember a step that was applied."""
    history = meters.setdefault("history", {"loss": [], "grad_norm": []})
    history["loss"] = [*history["loss"], loss][-HISTORY:]
    history["grad_norm"] = [*history["grad_norm"], grad_norm][-HISTORY:]
