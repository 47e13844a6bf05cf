"""Configurations of the commands `probe` and `fine-tune`."""

from dataclasses import dataclass, field

from diagonal_eval.sets.config import SetsConfig
from diagonal_infra.errors import require
from diagonal_infra.metrics_server import MetricsConfig
from diagonal_train.config.optimizer import OptimizerConfig

SHOTS = (1, 2, 4, 8, 16)


@dataclass(frozen=True, kw_only=True)
class ProbeConfig(MetricsConfig):
    """Linear probes and few-shot curves of a checkpoint on sets with a training split."""

    checkpoint: str
    """Run folder (its last checkpoint counts), RUN/checkpoints/step-…, or open_clip:MODEL."""
    tasks: tuple[str, ...]
    """Sets with a training split: by name, by collection or by place (wds:DIR, folder:DIR)."""
    output: str
    """Folder for results.json, predictions and cached features."""
    sets: SetsConfig = field(default_factory=SetsConfig)
    cache: str | None = None
    """Where features are kept, by content; None: OUTPUT/cache. Evaluations may share it."""
    shots: tuple[int, ...] = SHOTS
    """Pictures per class of the few-shot curve; () leaves it out."""
    seeds: int = 5
    """Draws of the few shots."""
    seed: int = 0
    """Of the validation split, of the first draw and of bootstraps."""
    batch_size: int = 256
    """Pictures encoded at a time."""
    max_iterations: int = 1000
    """Of L-BFGS in one fit."""

    def __post_init__(self) -> None:
        require(bool(self.tasks), "--tasks must name at least one set")
        require(all(k >= 1 for k in self.shots), f"--shots must be at least 1, got {self.shots}")
        require(self.seeds >= 1, f"--seeds must be at least 1, got {self.seeds}")
        require(self.seed >= 0, f"--seed must not be negative, got {self.seed}")
        require(self.batch_size >= 1, f"--batch-size must be at least 1, got {self.batch_size}")
        require(self.max_iterations >= 1, "--max-iterations must be at least 1")


def _wise_ft_optimizer() -> OptimizerConfig:
    return OptimizerConfig(
        lr=3e-5, beta2=0.999, eps=1e-8, weight_decay=0.1, warmup_steps=500, clip_grad_norm=1.0
    )


@dataclass(frozen=True, kw_only=True)
class FineTuneConfig(MetricsConfig):
    """End-to-end fine-tuning from the zero-shot classifier, and the curve back to it."""

    checkpoint: str
    """Run folder (its last checkpoint counts), RUN/checkpoints/step-…, or open_clip:MODEL."""
    task: str
    """The set whose training split is learned and whose test split is measured."""
    output: str
    """Folder for results.json, the weights and cached features."""
    shifts: tuple[str, ...] = ()
    """Further sets that are measured: of the same classes or some of them."""
    sets: SetsConfig = field(default_factory=SetsConfig)
    epochs: int = 10
    """Passes over the training split."""
    batch_size: int = 64
    """Pictures per step, and encoded at a time."""
    optimizer: OptimizerConfig = field(default_factory=_wise_ft_optimizer)
    """WiSE-FT's; a warm-up longer than a fifth of the run is cut to that."""
    alphas: tuple[float, ...] = tuple(step / 10 for step in range(11))
    """Shares of the fine-tuned weights in the curve; the others are the zero-shot model's."""
    seed: int = 0
    """Of order, crops and dropout."""

    def __post_init__(self) -> None:
        require(self.epochs >= 1, f"--epochs must be at least 1, got {self.epochs}")
        require(self.batch_size >= 1, f"--batch-size must be at least 1, got {self.batch_size}")
        require(self.seed >= 0, f"--seed must not be negative, got {self.seed}")
        rising = sorted(set(self.alphas)) == list(self.alphas) and bool(self.alphas)
        inside = all(0 <= alpha <= 1 for alpha in self.alphas)
        require(rising and inside, f"--alphas must rise from 0 to 1, got {self.alphas}")
