"""The optimizer, its schedule and its bounds."""

from dataclasses import dataclass
from typing import Literal

from diagonal_infra.errors import require

OptimizerKind = Literal["adamw", "stable-adamw"]
LrSchedule = Literal["cosine", "constant", "cooldown"]
Cooldown = Literal["linear", "sqrt"]


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW with linear warm-up and, unless told otherwise, cosine decay to 0."""

    lr: float = 5e-4
    """Highest learning rate, reached at the end of the warm-up."""
    beta1: float = 0.9
    """Decay of the mean of gradients."""
    beta2: float = 0.98
    """Decay of the mean of squared gradients."""
    eps: float = 1e-6
    """Added to the root of the mean of squares."""
    weight_decay: float = 0.2
    """Decoupled decay of matrices; gains, biases, embeddings of position and scale have none."""
    warmup_steps: int = 2000
    """Steps of linear rise."""
    clip_grad_norm: float | None = None
    """Longest gradient, all parameters taken together; longer ones are scaled down."""
    kind: OptimizerKind = "adamw"
    """`stable-adamw` shortens the step of a tensor whose gradients outgrow their second moment
    (Wortsman et al., 2023), in place of clipping: no leaps of the loss with large models."""
    schedule: LrSchedule = "cosine"
    """Behind the warm-up: `cosine` falls to 0 at the end, `constant` stays, `cooldown` stays and
    falls to 0 over the last `cooldown_steps`."""
    cooldown_steps: int = 0
    """Steps of the fall with `--optimizer.schedule cooldown`."""
    cooldown: Cooldown = "linear"
    """How it falls: `linear`, or `sqrt` for 1 − √progress."""
    layer_lr_decay: float = 1.0
    """Factor of the learning rate from each layer of an encoder to the one below: 1 for projections
    and logit scale, least for embeddings. 1 gives all layers the same."""

    def __post_init__(self) -> None:
        require(self.lr > 0, f"--optimizer.lr must be above 0, got {self.lr}")
        require(self.warmup_steps >= 0, "--optimizer.warmup-steps must not be negative")
        cooldown = self.cooldown_steps
        require(cooldown >= 0, "--optimizer.cooldown-steps must not be negative")
        require(
            (cooldown > 0) == (self.schedule == "cooldown"),
            f"--optimizer.schedule {self.schedule} does not go with --optimizer.cooldown-steps "
            f"{cooldown}: `cooldown` needs steps, the others have none",
        )
        decay = self.layer_lr_decay
        require(0 < decay <= 1, f"--optimizer.layer-lr-decay is above 0, at most 1, got {decay}")


def check_schedule(config: OptimizerConfig, total_steps: int) -> None:
    """Warm-up and cooldown do not overlap; a warm-up longer than the run is only warned of.

    Raises:
        ValueError: they do; the message names the flags.
    """
    warmup, cooldown = config.warmup_steps, config.cooldown_steps
    require(
        cooldown == 0 or warmup + cooldown <= total_steps,
        f"--optimizer.warmup-steps {warmup} and --optimizer.cooldown-steps {cooldown} together are "
        f"more than the {total_steps} steps that --samples-seen over --global-batch-size gives; "
        "shorten them or train longer",
    )
