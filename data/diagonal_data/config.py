"""Configuration trees of the data commands; recipes.py holds the named choices."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from diagonal_data.fetch_config import BlockConfig, FetchConfig
from diagonal_infra.cli import also
from diagonal_infra.errors import require

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
class CandidatesConfig:
    """Where URL–text pairs come from and where the candidates go."""

    output: str
    """Folder for part-*.parquet; must be empty or made by the same command."""
    input: str | None = None
    """`urls`: Parquet, CSV, TSV or JSONL lists; brace patterns, globs, folders, any fsspec URL."""
    seeds: tuple[str, ...] = ()
    """`crawl`: pages to start from; only their hosts and --allow-hosts are visited."""
    max_pages: int = 10_000
    """`crawl`: most pages read."""
    rows_per_part: int = 100_000
    """Candidates in one Parquet file."""
    allow_hosts: tuple[str, ...] = ()
    """HOST or HOST:PORT on loopback or private addresses that may be visited all the same."""
    fetch: FetchConfig = field(default_factory=FetchConfig)
    """Network manners of the crawl; a page over 4 MiB (or --fetch.max-bytes, if less) ends as
    body_too_large, and the first MiB of a page is read."""
    serve: str | None = None
    """Folder of a small web to serve on loopback while the command runs; made if missing (demo)."""

    def __post_init__(self) -> None:
        require(self.rows_per_part >= 1, "--rows-per-part must be at least 1")
        require(self.max_pages >= 1, "--max-pages must be at least 1")


@dataclass(frozen=True, kw_only=True)
class ShardsConfig:
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
    metrics_port: int = 0
    """Serve Prometheus metrics on this port of 127.0.0.1 while the command runs; 0 is off."""
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
class CaptionLength:
    """Caption length in words (split at white space) and characters; 0 is no limit."""

    min_words: int = 0
    """Fewest words."""
    max_words: int = 0
    """Most words."""
    min_chars: int = 0
    """Fewest characters."""
    max_chars: int = 0
    """Most characters."""


@dataclass(frozen=True, kw_only=True)
class ImageShape:
    """Size and shape of the original image; 0 is no limit."""

    min_side: int = 0
    """Fewest pixels of the shorter side."""
    max_aspect: float = 0.0
    """Largest ratio of long to short side."""


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Which copies are dropped; of equals the largest original stays, then the first."""

    exact: bool = True
    """Same bytes as fetched (sha256)."""
    max_hamming: int = 3
    """Perceptual hashes that differ in at most this many of 64 bits; -1 turns the rule off."""

    def __post_init__(self) -> None:
        require(
            -1 <= self.max_hamming <= 3,
            f"--duplicates.max-hamming must be -1 to 3, got {self.max_hamming}",
        )


@dataclass(frozen=True, kw_only=True)
class HoldOut:
    """Rows to keep for evaluation, named by a Parquet list."""

    list: str = ""
    """Parquet file with a `uid` or a `url` column; empty for none."""
    columns: tuple[str, ...] = ()
    """Boolean columns of that file: a row counts if any is true; none given, all rows count."""


@dataclass(frozen=True, kw_only=True)
class FiltersConfig:
    """Row tables in, keep list and funnel out. Rules apply in the order of the fields."""

    dataset: str
    """Dataset folder."""
    name: str
    """Written to DATASET/filters/NAME."""
    hold_out: HoldOut = field(default_factory=HoldOut)
    """Evaluation data."""
    caption: CaptionLength = field(default_factory=CaptionLength)
    """Text."""
    image: ImageShape = field(default_factory=ImageShape)
    """Pixels."""
    duplicates: Duplicates = field(default_factory=Duplicates)
    """Copies."""
    samples_in_report: int = 12
    """Pictures shown per reason in report.html."""


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
