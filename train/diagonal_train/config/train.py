"""The root of the tree: one training run."""

from dataclasses import dataclass, field
from typing import Literal

from diagonal_infra.errors import require
from diagonal_train.config.augment import AugmentConfig
from diagonal_train.config.checkpoint import CheckpointConfig
from diagonal_train.config.distill import DistillConfig
from diagonal_train.config.lock import LockConfig
from diagonal_train.config.logging import LoggingConfig
from diagonal_train.config.model import ModelConfig
from diagonal_train.config.optimizer import OptimizerConfig, check_schedule
from diagonal_train.config.parallel import ParallelConfig
from diagonal_train.config.probe import ProbeConfig
from diagonal_train.config.recovery import RecoveryConfig
from diagonal_train.config.schedule import ScheduleConfig, check_sizes
from diagonal_train.streaming.config import (
    LoaderConfig,
    StreamConfig,
    check_batch_size,
    check_weights,
    lanes_of,
)

Precision = Literal["auto", "fp32", "bf16", "fp16", "fp8"]
Launcher = Literal["process", "ray"]
Loss = Literal["softmax", "sigmoid"]
ActivationCheckpointing = Literal["none", "full", "selective"]


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
    """AdamW or its relative, and the learning rate."""
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    """When to save and what to keep."""
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    """How the model is spread over ranks."""
    lock: LockConfig = field(default_factory=LockConfig)
    """Encoders that are not trained."""
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    """Sizes of images and texts in the course of the run."""
    recovery: RecoveryConfig = field(default_factory=RecoveryConfig)
    """What to do about bad steps, and how long silence may last."""
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    """Trackers that records go to."""
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    """What is asked of the model while it trains."""
    distill: DistillConfig = field(default_factory=DistillConfig)
    """A teacher whose embeddings are stored with the data."""
    global_batch_size: int = 32_768
    """Samples of one step over all ranks."""
    samples_seen: int = 12_800_000_000
    """Samples of the whole run, repetitions counted; rounded down to whole batches."""
    ema_decay: float | None = None
    """Decay of a moving average of the weights, 0.9999 for instance, which evaluation and export
    then use; it rises to this value over the first steps. None keeps no average."""
    precision: Precision = "auto"
    """Of the encoders; weights, loss and optimizer are fp32 in all. auto is bf16 on GPUs that have
    it, fp16 on older ones, fp32 on CPUs. fp16 scales the loss, and a step whose
    gradients overflow is done again with half the scale. fp8 is bf16 with the blocks' linear layers
    in 8 bits, on GPUs that have them."""
    seed: int = 0
    """Of weights, order, crops and augmentation."""
    log_every_steps: int = 1
    """Steps between lines of metrics.jsonl."""
    launcher: Launcher = "process"
    """`process` is this process, or the ranks that torchrun started; `ray` starts Ray Train."""
    workers: int = 1
    """Ranks that `--launcher ray` starts."""
    loss: Loss = "softmax"
    """CLIP's cross-entropy over both directions, or SigLIP's pairwise loss with a learned bias."""
    loss_tile: int = 512
    """Rows and columns of the matrix of all pairs that are multiplied at a time."""
    micro_batch_size: int | None = None
    """Samples of a rank that are embedded at a time; None takes all. Gradients are those of the
    whole batch; the encoders' forward pass is done twice."""
    activation_checkpointing: ActivationCheckpointing = "none"
    """Blocks of the encoders that keep their input only and are computed again for the gradient:
    none, all or every second one."""
    compile: bool = False
    """Compile the encoders' blocks; the first steps then take minutes."""
    trim_text: bool = True
    """Cut captions behind their ends, in groups of like length, where the text encoder is causal:
    same numbers, less work."""
    patch_dropout: float = 0.0
    """Share of the image's patches left out in training (FLIP); vision transformers only."""
    workers_min: int | None = None
    """Fewest ranks that `--launcher ray` goes on with while the cluster is smaller; each number
    between must divide the lanes. None: as many as `workers`."""
    worker_failures: int = 3
    """How often `--launcher ray` starts the ranks anew after one failed; loss of a node does not
    count."""
    accept_changes: bool = False
    """Go on although settings or data are not those that the run began with; what differs is
    logged. What the saved state must fit, the model for instance, cannot change."""
    dry_run: bool = False
    """Print size, work, memory and time of the run and stop; no data or run folder is touched."""

    def __post_init__(self) -> None:
        size = self.global_batch_size
        check_batch_size(size, self.stream.lanes, flag="--stream.lanes")
        check_weights(self.weights, self.data)
        require(self.seed >= 0, f"--seed must not be negative, got {self.seed}")
        seen = self.samples_seen
        require(seen >= size, f"--samples-seen {seen} is less than one batch of {size}")
        decay = self.ema_decay
        require(decay is None or 0 < decay < 1, f"--ema-decay is between 0 and 1, got {decay}")
        check_schedule(self.optimizer, self.total_steps)
        check_sizes(self.schedule, self.model)
        require(self.log_every_steps >= 1, "--log-every-steps must be at least 1")
        require(self.workers >= 1, f"--workers must be at least 1, got {self.workers}")
        require(self.loss_tile >= 1, f"--loss-tile must be at least 1, got {self.loss_tile}")
        micro = self.micro_batch_size
        require(micro is None or micro >= 1, f"--micro-batch-size must be at least 1, got {micro}")
        require(
            not self.distill.weight or self.loss == "softmax",
            "--distill.weight needs --loss softmax: a teacher's probabilities are those of softmax",
        )
        share = self.patch_dropout
        require(0 <= share < 1, f"--patch-dropout is a share below 1, got {share}")
        least = self.workers if self.workers_min is None else self.workers_min
        require(1 <= least <= self.workers, f"--workers-min is in 1–{self.workers}, got {least}")
        lanes_of(self.stream.lanes, part=0, parts=self.workers * max(1, self.stream.num_workers))
        require(self.worker_failures >= 0, "--worker-failures must not be negative")

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
            **vars(self.schedule),
            teacher=self.distill.teacher if self.distill.weight else None,
        )
