"""The root of the tree: one training run."""

from dataclasses import dataclass, field
from typing import Literal

from diagonal_infra.errors import require
from diagonal_train.config.augment import AugmentConfig
from diagonal_train.config.checkpoint import CheckpointConfig
from diagonal_train.config.model import ModelConfig
from diagonal_train.config.optimizer import OptimizerConfig
from diagonal_train.streaming.config import (
    LoaderConfig,
    StreamConfig,
    check_batch_size,
    check_weights,
)

Precision = Literal["fp32", "bf16"]
Launcher = Literal["process", "ray"]
Loss = Literal["softmax", "sigmoid"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A dataset folder in, a run folder out."""

    data: str = "out/demo/dataset"
    """A dataset folder, or tars by brace pattern or glob (local path or any fsspec URL), or several
    of these joined by `::`."""
    filter: str | None = None
    """Keep list of the dataset to train on; None takes every sample."""
    weights: tuple[float, ...] = ()
    """How often a pass has each sample of a source, by source; () is once each."""
    run: str = "out/demo/run"
    """Run folder; a run that was broken off goes on where it stood."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The dual encoder."""
    stream: LoaderConfig = field(default_factory=LoaderConfig)
    """Order, crops and worker processes."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Random changes of the image on the device."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """AdamW and its schedule."""
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    """When to save and what to keep."""
    global_batch_size: int = 32_768
    """Samples of one step over all ranks."""
    samples_seen: int = 12_800_000_000
    """Samples of the whole run, repetitions counted; rounded down to whole batches."""
    precision: Precision = "fp32"
    """Of the encoders; weights, loss and optimizer are fp32 in both."""
    seed: int = 0
    """Of weights, order, crops and augmentation."""
    log_every_steps: int = 20
    """Steps between lines of metrics.jsonl."""
    launcher: Launcher = "process"
    """`process` is this process, or the ranks that torchrun started; `ray` starts Ray Train."""
    workers: int = 1
    """Ranks that `--launcher ray` starts."""
    loss: Loss = "softmax"
    """CLIP's cross-entropy over both directions, or SigLIP's pairwise loss with a learned bias."""
    dry_run: bool = False
    """Print size, work, memory and time of the run and stop; no data or run folder is touched."""

    def __post_init__(self) -> None:
        size = self.global_batch_size
        check_batch_size(size, self.stream.lanes, flag="--stream.lanes")
        check_weights(self.weights, self.data)
        require(self.seed >= 0, f"--seed must not be negative, got {self.seed}")
        seen = self.samples_seen
        require(seen >= size, f"--samples-seen {seen} is less than one batch of {size}")
        require(self.log_every_steps >= 1, "--log-every-steps must be at least 1")
        require(self.workers >= 1, f"--workers must be at least 1, got {self.workers}")

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.samples_seen // self.global_batch_size

    @property
    def stream_config(self) -> StreamConfig:
        """What the loader is to deliver."""
        return StreamConfig(
            **vars(self.stream),
            data=self.data,
            filter=self.filter,
            weights=self.weights,
            global_batch_size=self.global_batch_size,
            seed=self.seed,
            image_size=self.model.image_size,
            context_length=self.model.text.context_length,
        )
