"""Configurations of the commands `probe` and `fine-tune`."""

from dataclasses import dataclass

from diagonal_infra.errors import require

SHOTS = (1, 2, 4, 8, 16)


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """Linear probes and few-shot curves of a checkpoint on sets with a training split."""

    checkpoint: str
    """Run folder (its last checkpoint counts), RUN/checkpoints/step-…, or open_clip:MODEL."""
    tasks: tuple[str, ...]
    """Names of sets."""
    output: str
    """Folder for results.json, predictions and cached features."""
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
