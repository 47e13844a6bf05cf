"""Configuration trees of the data commands; recipes.py holds the named choices."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from diagonal_data.fetch_config import BlockConfig, FetchConfig
from diagonal_infra.cli import also
from diagonal_infra.errors import require
from diagonal_infra.metrics_server import MetricsConfig

Engine = Literal["native", "img2dataset"]
ResizeMode = Literal["border", "keep_ratio", "keep_ratio_largest", "center_crop", "no"]
ImageFormat = Literal["jpg", "png", "webp"]
Animation = Literal["refuse", "first_frame"]
Retry = Literal["none", "transient"]


@dataclass(frozen=True, kw_only=True)
class DecodeConfig:
    """From bytes as fetched to bytes as stored."""

    resize_mode: Annotated[ResizeMode, also("--resize-mode")] = "keep_ratio_largest"
    """border: fit and pad to a square; keep_ratio: short side; keep_ratio_largest: long side;
    center_crop: square crop; no: keep the size."""
    only_if_bigger: Annotated[bool, also("--only-if-bigger")] = True
    """Never enlarge an image."""
    format: ImageFormat = "jpg"
    """Stored image format, and the extension of the tar member."""
    quality: int = 95
    """Encoder quality of jpg and webp, 1–100."""
    max_pixels: int = 89_478_484
    """Largest width × height that is decoded; read from the header before any pixel."""
    max_decoded_bytes: int = 128 * 2**20
    """Most memory that one picture's pixels (or a progressive JPEG's coefficients) may take."""
    min_side: int = 8
    """Smallest side accepted, in pixels: keeps tracking pixels out."""
    max_aspect: float = 10.0
    """Largest ratio of long to short side: keeps banners and rules out; 0 is no limit."""
    animation: Animation = "refuse"
    """What becomes of a file with several frames."""
    background: tuple[int, int, int] = (255, 255, 255)
    """RGB under transparent pixels and in the border."""

    def __post_init__(self) -> None:
        require(1 <= self.quality <= 100, f"--decode.quality must be 1–100, got {self.quality}")
        require(self.min_side >= 1, "--decode.min-side must be at least 1")
        require(self.max_aspect == 0 or self.max_aspect >= 1, "--decode.max-aspect is 0 or above 1")


@dataclass(frozen=True, kw_only=True)
class ShardsConfig(MetricsConfig):
    """Candidates in, dataset folder out."""

    candidates: str
    """Folder, file or pattern of candidates Parquet."""
    dataset: str
    """Dataset folder; a local path or any fsspec URL."""
    engine: Engine = "native"
    """Who fetches and decodes; both give the same dataset layout. img2dataset keeps no limits per
    host, has no total deadline, reads bodies of any size, and decodes before it knows the size."""
    image_size: int = 256
    """Pixels of the side that --decode.resize-mode speaks of."""
    samples_per_shard: int = 10_000
    """Candidates in one shard."""
    workers: int = 2
    """Units built at a time: Ray workers, or 1 with --local."""
    local: bool = False
    """Build units one after the other in this process, without Ray."""
    unit_deadline_seconds: float = 3600.0
    """Fetching of one unit; what is not there by then ends as timed_out."""
    retry: Retry = "none"
    """transient: fetch again, into new shards, the rows that failed for a passing reason."""
    allow_hosts: tuple[str, ...] = ()
    """HOST or HOST:PORT on loopback or private addresses that may be fetched all the same."""
    fetch: FetchConfig = field(default_factory=FetchConfig)
    """Network manners."""
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    """Pixels."""
    block: BlockConfig = field(default_factory=BlockConfig)
    """What must never reach the disk."""
    serve: str | None = None
    """Folder of a small web to serve on loopback while the command runs; made if missing (demo)."""

    def __post_init__(self) -> None:
        require(self.image_size >= 1, f"--image-size must be at least 1, got {self.image_size}")
        require(self.samples_per_shard >= 1, "--samples-per-shard must be at least 1")
        require(
            not (self.block.md5 and self.engine == "img2dataset"),
            "--block.md5 needs --engine native: img2dataset keeps no body to take the hash of",
        )
        require(self.workers >= 1, f"--workers must be at least 1, got {self.workers}")


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """A dataset in, tables out."""

    dataset: str
    """Dataset folder; it may be growing meanwhile."""
    json: bool = False
    """One JSON object instead of tables."""
    hosts: int = 20
    """Hosts shown, those with the most rows."""

    def __post_init__(self) -> None:
        require(self.hosts >= 0, f"--hosts must be at least 0, got {self.hosts}")
