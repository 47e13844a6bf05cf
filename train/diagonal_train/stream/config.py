"""How a stream of batches is read: order, crops, reading."""

from dataclasses import dataclass
from typing import Literal

from diagonal_infra.errors import require

Transform = Literal["open_clip", "square"]
Decoder = Literal["fast", "pillow"]


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
