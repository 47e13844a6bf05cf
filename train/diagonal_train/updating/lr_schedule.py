"""The learning rate of each step.

warm-up        from lr / warmup_steps up to lr, a line
cosine         half a cosine down to 0 at the end of the run
constant       lr to the end
cooldown       lr, then down to 0 over the last cooldown_steps: a line, or 1 − √progress
"""

import math

from diagonal_train.config.optimizer import OptimizerConfig


def lr_at(step: int, *, config: OptimizerConfig, total_steps: int) -> float:
    """Learning rate of optimizer step `step`, counted from 0."""
    warmup = config.warmup_steps
    if step < warmup:
        return config.lr * (step + 1) / warmup
    if config.schedule == "cosine":
        progress = (step - warmup) / max(1, total_steps - warmup)
        return config.lr * 0.5 * (1 + math.cos(math.pi * progress))
    if config.schedule == "constant":
        return config.lr
    progress = max(0, step - (total_steps - config.cooldown_steps)) / config.cooldown_steps
    return config.lr * (1 - (math.sqrt(progress) if config.cooldown == "sqrt" else progress))
