"""The configuration tree of the train command; recipes.py holds the named choices.

TrainConfig
├── model: ModelConfig ── vision: VisionConfig, text: TextConfig
├── stream: LoaderConfig        order, crops, reading (streaming/config.py)
├── augment: AugmentConfig      random changes on the device
└── optimizer: OptimizerConfig  AdamW, schedule, clipping
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from diagonal_infra.errors import UserError, require
from diagonal_train.streaming.config import (
    READING_FIELDS,
    LoaderConfig,
    StreamConfig,
    check_batch_size,
    check_weights,
)
from diagonal_train.streaming.normalise import CLIP_MEAN, CLIP_STD

Precision = Literal["fp32", "bf16"]
Launcher = Literal["process", "ray"]


@dataclass(frozen=True, kw_only=True)
class VisionConfig:
    """The image encoder: a vision transformer, or a timm model by name."""

    patch_size: int = 32
    """Pixels of a patch's side."""
    width: int = 768
    """Channels of the transformer."""
    layers: int = 12
    """Transformer blocks."""
    head_width: int = 64
    """Channels of one attention head."""
    timm_name: str | None = None
    """A timm model, or image_encoder.py's, instead of the transformer; the above is then unused."""


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """The text encoder: a causal transformer over CLIP's byte-pair vocabulary."""

    context_length: int = 77
    """Tokens of a caption, start and end included; longer captions are cut."""
    width: int = 512
    """Channels of the transformer."""
    heads: int = 8
    """Attention heads."""
    layers: int = 12
    """Transformer blocks."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The dual encoder."""

    name: str | None = None
    """A configuration built into open_clip (`ViT-B-16-SigLIP`, …) instead of `vision` and `text`;
    embed_dim, image_size and text.context_length must be the ones it has."""
    embed_dim: int = 512
    """Width of the common embedding."""
    image_size: int = 224
    """Pixels of the side of the square that the image encoder sees."""
    quick_gelu: bool = False
    """x·sigmoid(1.702x) in place of GELU, as in OpenAI's weights."""
    initial_temperature: float = 0.07
    """Logits are divided by it at the start; `logit_scale` begins at the log of its inverse."""
    mean: tuple[float, float, float] = CLIP_MEAN
    """RGB mean taken off the pixels, of 1."""
    std: tuple[float, float, float] = CLIP_STD
    """RGB deviation the pixels are divided by, of 1."""
    vision: VisionConfig = field(default_factory=VisionConfig)
    """The image encoder."""
    text: TextConfig = field(default_factory=TextConfig)
    """The text encoder."""

    def __post_init__(self) -> None:
        require(self.image_size >= 1, "--model.image-size must be at least 1")
        require(0.01 <= self.initial_temperature <= 1, "--model.initial-temperature is in 0.01–1")


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Random changes of the image on the device. A probability of 0 leaves a step out."""

    flip: float = 0.0
    """Probability of mirroring left to right."""
    background: float = 0.0
    """Probability of another colour for all pixels as the top left corner is, often white."""
    affine: float = 0.0
    """Probability of a small turn, zoom and shift; pixels at the edge repeat."""
    colour: float = 0.0
    """Probability of changing brightness, contrast and saturation."""
    hue: float = 0.0
    """Probability of turning the colours about the grey axis by a random angle."""
    permute_channels: float = 0.0
    """Probability of putting the colour channels in a random order."""
    greyscale: float = 0.0
    """Probability of taking the colour away."""
    invert: float = 0.0
    """Probability of the negative."""
    outline: float = 0.0
    """Probability of darkening edges, as line drawings do."""
    erase: float = 0.0
    """Probability of filling a rectangle with one random colour."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            flag = f"--augment.{name.replace('_', '-')}"
            require(0 <= value <= 1, f"{flag} is a probability, got {value}")


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


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A dataset folder in, a run folder out."""

    data: str = "out/demo/dataset"
    """A dataset folder, or tars by brace pattern or glob (local path or any fsspec URL), or several
    of these joined by `::`."""
    filter: str | None = "demo"
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
    global_batch_size: int = 32_768
    """Samples of one step over all ranks."""
    samples: int = 12_800_000_000
    """Samples seen in the whole run, repetitions counted; rounded down to whole batches."""
    precision: Precision = "fp32"
    """Of the encoders; weights, loss and optimizer are fp32 in both."""
    seed: int = 0
    """Of weights, order, crops and augmentation."""
    checkpoint_every_steps: int = 1000
    """Steps between checkpoints; the last step is always saved."""
    keep_checkpoints: int = 3
    """Newest checkpoints kept; the initial weights stay as well."""
    log_every_steps: int = 20
    """Steps between lines of metrics.jsonl."""
    launcher: Launcher = "process"
    """`process` is this process, or the ranks that torchrun started; `ray` starts Ray Train."""
    workers: int = 1
    """Ranks that `--launcher ray` starts."""

    def __post_init__(self) -> None:
        size = self.global_batch_size
        check_batch_size(size, self.stream.lanes, flag="--stream.lanes")
        check_weights(self.weights, self.data)
        require(self.seed >= 0, f"--seed must not be negative, got {self.seed}")
        require(self.samples >= size, f"--samples {self.samples} is less than one batch of {size}")
        require(self.checkpoint_every_steps >= 1, "--checkpoint-every-steps must be at least 1")
        require(self.keep_checkpoints >= 1, "--keep-checkpoints must be at least 1")
        require(self.log_every_steps >= 1, "--log-every-steps must be at least 1")
        require(self.workers >= 1, f"--workers must be at least 1, got {self.workers}")

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.samples // self.global_batch_size

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


# Where and how fast a run goes, not what it computes: these may differ when it goes on.
FREE_FIELDS = {
    "data",
    "run",
    "launcher",
    "workers",
    "checkpoint_every_steps",
    "keep_checkpoints",
    "log_every_steps",
} | {f"stream.{name}" for name in READING_FIELDS}


def differing_fields(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Flags whose values would change what a run computes, as `--seed was 0, is 1`."""
    old, new = flatten(before), flatten(now)
    return [
        f"--{name.replace('_', '-')} was {old.get(name)!r}, is {new.get(name)!r}"
        for name in sorted(old.keys() | new.keys())
        if name not in FREE_FIELDS and old.get(name) != new.get(name)
    ]


def model_config_from(record: dict[str, Any]) -> ModelConfig:
    """The model part of a run's config.json as the dataclass it was.

    Raises:
        UserError: other code wrote it, with other fields.
    """
    values = _checked(ModelConfig, record)
    return ModelConfig(
        **{
            **values,
            "mean": tuple(values["mean"]),
            "std": tuple(values["std"]),
            "vision": VisionConfig(**_checked(VisionConfig, values["vision"])),
            "text": TextConfig(**_checked(TextConfig, values["text"])),
        }
    )


def _checked(kind: type, record: dict[str, Any]) -> dict[str, Any]:
    own = {field.name for field in dataclasses.fields(kind)}
    wrong = [f"lacks {name}" for name in sorted(own - record.keys())]
    wrong += [f"has {name}, unknown here" for name in sorted(record.keys() - own)]
    if wrong:
        raise UserError(
            f"config.json was written by other code: its {kind.__name__} {', '.join(wrong)}; "
            "use the code revision that it names, or train again"
        )
    return record


def flatten(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields under dotted names: `{"stream": {"lanes": 8}}` → `{"stream.lanes": 8}`."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
