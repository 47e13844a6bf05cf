"""What a stream of batches depends on, and how it is read.

StreamConfig            data, batch size, seed, sizes: what `batches` and `dataloader` take
└── LoaderConfig        order, crops, reading; the group `--stream.*` of the train command
"""

import re
from dataclasses import dataclass
from typing import Literal

from diagonal_infra.errors import UserError, require
from diagonal_train.streaming.schedule import Steps, check_steps, value_at

Transform = Literal["open_clip", "square"]
Decoder = Literal["fast", "pillow"]
# Statistics of the CLIP paper's training images (openai/CLIP, clip.py); open_clip uses them too.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, kw_only=True)
class LoaderConfig:
    """Which sample comes when, what is cut out of it, and who reads and decodes it."""

    lanes: int = 64
    """Parts the stream is cut into; ranks × workers must divide it, and it the global batch."""
    window: int = 256
    """Consecutive samples of a shard read together, shuffled in a lane; 1 shuffles perfectly."""
    replacement: bool = False
    """Draw windows with replacement, so that a pass has some samples twice and others not."""
    transform: Transform = "open_clip"
    """`open_clip`: a random box of crop_scale and crop_ratio, as RandomResizedCrop chooses it;
    `square`: the CLIP paper's random square of the resized image."""
    crop_scale: tuple[float, float] = (0.9, 1.0)
    """Share of the image's area in a random box, least and most."""
    crop_ratio: tuple[float, float] = (0.75, 1.3333)
    """Width to height of a random box, least and most."""
    decoder: Decoder = "fast"
    """`fast` decodes a JPEG near the size asked for; `pillow` gives open_clip's own pixels."""
    captions: tuple[str, ...] = ("txt",)
    """Members a caption is drawn from, `json:FIELD` for a field (a text or a list of texts)."""
    num_workers: int = 4
    """Decoding processes per rank; 0 decodes in the training process."""
    prefetch: int = 2
    """Batches that each decoding process keeps ready."""
    max_replaced: float = 0.1
    """Largest share of samples that may be unusable before the run stops."""
    index_cache: str | None = None
    """Folder for indexes; by default diagonal/index in the user's cache folder."""
    window_cache: str | None = None
    """Folder for windows of remote shards, kept between passes and shared by the processes of a
    node; by default a private temporary one that keeps only what is about to be read."""
    window_cache_gb: float = 20.0
    """Bound of the window cache, in 10⁹ bytes."""
    timeout_seconds: float = 30.0
    """Longest silence of a storage request before it is tried again."""
    deadline_seconds: float = 300.0
    """Longest time for all tries of one read together, and for one batch."""

    def __post_init__(self) -> None:
        require(self.lanes >= 1, f"--stream.lanes must be at least 1, got {self.lanes}")
        require(self.window >= 1, f"--stream.window must be at least 1, got {self.window}")
        require(self.num_workers >= 0, "--stream.num-workers must not be negative")
        require(self.prefetch >= 1, "--stream.prefetch must be at least 1")
        low, high = self.crop_scale
        require(0 < low <= high <= 1, f"--stream.crop-scale must rise in 0–1, got {low} {high}")
        low, high = self.crop_ratio
        require(0 < low <= high, f"--stream.crop-ratio must rise from above 0, got {low} {high}")
        require(len(self.captions) > 0, "--stream.captions must name at least one member")
        require(0 <= self.max_replaced < 1, "--stream.max-replaced is a share, 0 or more, below 1")
        require(self.window_cache_gb > 0, "--stream.window-cache-gb must be above 0")
        require(self.timeout_seconds > 0, "--stream.timeout-seconds must be above 0")
        require(
            self.deadline_seconds >= self.timeout_seconds,
            "--stream.deadline-seconds must be at least --stream.timeout-seconds",
        )


READING_FIELDS = frozenset(
    {
        "num_workers",
        "prefetch",
        "max_replaced",
        "index_cache",
        "window_cache",
        "window_cache_gb",
        "timeout_seconds",
        "deadline_seconds",
    }
)
"""Fields of LoaderConfig that decide how the batches are read, not what is in them."""


@dataclass(frozen=True, kw_only=True)
class StreamConfig(LoaderConfig):
    """Batches of a dataset: everything that what is in them depends on, and how they are read."""

    data: str
    """A dataset folder, or tars by brace pattern or glob (local path or any fsspec URL), or several
    of these joined by `::`."""
    filter: str | None = None
    """Keep list of the dataset folder, or names joined by `::`, one per source."""
    weights: tuple[float, ...] = ()
    """How often a pass has each sample of a source, by source; () is once each."""
    global_batch_size: int
    """Samples of one step over all ranks."""
    seed: int = 0
    """Of order, crops and captions."""
    image_size: int = 224
    """Pixels of the side of the square."""
    context_length: int = 77
    """Tokens of a caption, start and end included; longer ones are cut."""
    image_sizes: Steps = ()
    """Smaller sizes, as pairs of samples seen and the size from there on, the first at 0."""
    context_lengths: Steps = ()
    """Smaller lengths that captions are cut to, in the same form; rows stay `context_length`."""
    teacher: str | None = None
    """Name of the teacher whose stored embeddings are delivered too; None reads none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_batch_size(self.global_batch_size, self.lanes, flag="--lanes")
        check_weights(self.weights, self.data)
        require(self.seed >= 0, f"--seed must not be negative, got {self.seed}")
        require(self.image_size >= 1, f"--image-size must be at least 1, got {self.image_size}")
        require(self.context_length >= 2, "--context-length must be at least 2")
        check_steps(self.image_sizes, least=1, most=self.image_size, flag="--image-sizes")
        lengths, most = self.context_lengths, self.context_length
        if self.teacher is not None:
            check_teacher_name(self.teacher, flag="--teacher")
        check_steps(lengths, least=2, most=most, flag="--context-lengths")

    def image_size_at(self, batch_index: int) -> int:
        """Pixels of the side of a batch's images."""
        return value_at(self.image_sizes, batch_index * self.global_batch_size, self.image_size)

    def context_length_at(self, batch_index: int) -> int:
        """Most tokens of a batch's captions."""
        seen = batch_index * self.global_batch_size
        return value_at(self.context_lengths, seen, self.context_length)


def check_batch_size(size: int, lanes: int, *, flag: str) -> None:
    """A global batch takes as much of every lane.

    Raises:
        ValueError: the lanes do not divide it; the message has the nearest size that fits.
    """
    near = max(lanes, round(size / lanes) * lanes)
    require(
        size > 0 and size % lanes == 0,
        f"--global-batch-size {size} is no multiple of {flag} {lanes}; {near} is",
    )


def check_teacher_name(name: str, *, flag: str) -> None:
    """A member's extension: readers of tars turn it to lower case and cut the key at the first dot.

    Raises:
        ValueError: it cannot be one.
    """
    good = re.fullmatch(r"[a-z0-9_-]+", name) is not None
    require(good, f"{flag} is made of a-z, 0-9, _ and -, got {name!r}")


def check_weights(weights: tuple[float, ...], data: str) -> None:
    """One positive weight per source, or none at all.

    Raises:
        ValueError: their number is not that of the sources, or one is not positive.
    """
    sources = data.count("::") + 1
    require(
        len(weights) in (0, sources),
        f"--weights has {len(weights)} numbers for {sources} sources in --data {data!r}",
    )
    require(all(weight > 0 for weight in weights), f"--weights must be above 0, got {weights}")


def lanes_of(lanes: int, *, part: int, parts: int, flag: str = "--stream.lanes") -> range:
    """The lanes that one of `parts` owners (ranks × workers) reads.

    Raises:
        UserError: the owners do not divide the lanes.
    """
    if lanes % parts:
        fitting = [n for n in range(1, lanes + 1) if lanes % n == 0]
        nearest = [*[n for n in fitting if n < parts][-1:], *[n for n in fitting if n > parts][:1]]
        fits = " or ".join(map(str, nearest))
        more = -(-lanes // parts) * parts
        raise UserError(
            f"{parts} decoding processes (ranks × workers) do not divide {flag} {lanes}; "
            f"use {fits} of them, or {flag} {more}"
        )
    share = lanes // parts
    return range(part * share, (part + 1) * share)
