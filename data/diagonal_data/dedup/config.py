"""Configuration trees of `dedup` and `decontaminate`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from diagonal_infra.cli import also
from diagonal_infra.errors import require
from diagonal_infra.metrics_server import MetricsConfig

Keep = Literal["largest", "first", "best"]
Hash = Literal["phash", "pdq"]
RECOMMENDED = {"phash": 3, "pdq": 40}
"""Measured in benchmarks/dedup.py. Meta's own 31 is for PDQ without a look at the colours."""
LARGEST = {"phash": 8, "pdq": 48}


@dataclass(frozen=True, kw_only=True)
class CopiesConfig(MetricsConfig):
    """Which of equal pictures stays."""

    dataset: str
    """Dataset folder."""
    name: str
    """The score set: DATASET/scores/dedup/NAME."""
    keep: Keep = "largest"
    """Of a cluster: the largest original, the first row, or the best by --score; then the first."""
    score: str | None = None
    """With --keep best: the column, as KIND/NAME.COLUMN; the highest value stays."""

    def __post_init__(self) -> None:
        require(
            (self.keep == "best") == (self.score is not None),
            f"--keep best and --score belong together, got --keep {self.keep} "
            f"and --score {self.score}",
        )


@dataclass(frozen=True, kw_only=True)
class ExactConfig(CopiesConfig):
    """Copies by the bytes as fetched, and by the pixels as stored where an `image` set has them."""

    name: str = "exact"
    """The score set: DATASET/scores/dedup/NAME."""


@dataclass(frozen=True, kw_only=True)
class PerceptualConfig(CopiesConfig):
    """Copies by perceptual hashes."""

    name: str = "perceptual"
    """The score set: DATASET/scores/dedup/NAME."""
    hash: Hash = "phash"
    """phash: the row table's 64 bits; pdq: 256 bits, computed once of the stored pictures."""
    max_hamming: int | None = None
    """Bits in which two copies may differ; None: 3 of phash, 40 of pdq."""
    min_quality: int = 50
    """With --hash pdq: pictures below are compared with nothing, 0–100."""
    max_colour_difference: int = 40
    """With --hash pdq: largest difference of 8×8 cells in any channel; 255: the hash decides."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            0 <= self.max_colour_difference <= 255,
            f"--max-colour-difference must be 0–255, got {self.max_colour_difference}",
        )
        require(
            0 <= self.distance <= LARGEST[self.hash],
            f"--max-hamming must be 0–{LARGEST[self.hash]} with --hash {self.hash}, "
            f"got {self.max_hamming}",
        )

    @property
    def distance(self) -> int:
        """`max_hamming`, or what is recommended for the hash."""
        return RECOMMENDED[self.hash] if self.max_hamming is None else self.max_hamming


@dataclass(frozen=True, kw_only=True)
class SemanticConfig(MetricsConfig):
    """The nearest row before each row of its cluster, by embeddings."""

    dataset: str
    """Dataset folder."""
    embeddings: str
    """Which: DATASET/embeddings/NAME."""
    name: str = "semantic"
    """The score set: DATASET/scores/dedup/NAME."""
    clusters: int = 0
    """Of k-means; 0: one per 1,000 samples. Only rows of one cluster are compared."""
    iterations: int = 20
    """Of k-means."""
    seed: int = 0
    """Of k-means' first centroids."""

    def __post_init__(self) -> None:
        require(self.clusters >= 0, f"--clusters must be at least 0, got {self.clusters}")
        require(self.iterations >= 1, f"--iterations must be at least 1, got {self.iterations}")


@dataclass(frozen=True, kw_only=True)
class IndexConfig:
    """Pictures of an evaluation set to an index of their hashes."""

    images: str
    """Folder of pictures, or tars of them; brace patterns, globs, any fsspec URL."""
    output: str
    """The index file."""
    set: str
    """What the evaluation set is called in the column `set`."""
    embeddings: str | None = None
    """npz with `image` (N×D), `key` (the pictures' names without folder and suffix) and `model`."""


@dataclass(frozen=True, kw_only=True)
class MarkConfig(MetricsConfig):
    """Rows of a dataset that are near a picture of an evaluation set."""

    dataset: str
    """Dataset folder."""
    index: tuple[str, ...]
    """Index files."""
    name: str = "eval"
    """The score set: DATASET/scores/eval_near/NAME."""
    max_hamming: Annotated[int, also("--hamming")] = 6
    """Bits of phash in which a row may differ from an evaluation picture or its mirror image."""
    embeddings: str | None = None
    """Compare DATASET/embeddings/NAME too; of the model that the index was made with."""
    min_cosine: float = 0.95
    """With --embeddings: from this similarity on a row is near."""

    def __post_init__(self) -> None:
        require(bool(self.index), "--index names no file")
        require(
            0 <= self.max_hamming <= LARGEST["phash"],
            f"--max-hamming must be 0–{LARGEST['phash']}, got {self.max_hamming}",
        )
        require(-1 <= self.min_cosine <= 1, f"--min-cosine must be -1–1, got {self.min_cosine}")
