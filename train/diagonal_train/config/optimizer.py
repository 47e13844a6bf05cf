"""AdamW, its schedule and its bounds."""

from dataclasses import dataclass

from diagonal_infra.errors import require


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW with linear warm-up and cosine decay to 0."""

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

    def __post_init__(self) -> None:
        require(self.lr > 0, f"--optimizer.lr must be above 0, got {self.lr}")
        require(self.warmup_steps >= 0, "--optimizer.warmup-steps must not be negative")
