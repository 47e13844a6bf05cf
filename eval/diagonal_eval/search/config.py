"""Configuration of search and export, and their recipes.

python -m diagonal_eval.retrieval search --checkpoint runs/a --dataset D "red apple" --top 20
python -m diagonal_eval.retrieval export --dataset D --name clip --format parquet --output out/v
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from diagonal_infra.cli import Positional, also
from diagonal_infra.errors import require

Kind = Literal["auto", "flat", "hnsw", "ivf"]
Gallery = Literal["images", "captions"]
OutputFormat = Literal["table", "json", "csv"]


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """A text or a picture in, the nearest samples of a dataset out."""

    texts: Positional[tuple[str, ...]] = ()
    """What to look for, in quotes; several texts and --image are added up."""
    checkpoint: str = "out/run"
    """Run folder (its last checkpoint counts), RUN/checkpoints/step-00001000, or
    open_clip:MODEL."""
    dataset: str = "out/dataset"
    """Dataset folder; a local path or any fsspec URL."""
    image: str = ""
    """A picture to look for: a path or URL."""
    unwanted: Annotated[tuple[str, ...], also("--not")] = ()
    """Texts to keep away from."""
    unwanted_weight: float = 0.5
    """Weight of these against the sum of the others."""
    to: Gallery = "images"
    """What is compared with the question: the samples' pictures or their captions."""
    top: int = 10
    """Hits to show."""
    unique: float | None = None
    """Leave out a hit whose cosine with a better hit is at least this: 1 leaves out equal ones,
    0.97 near-copies. None: all are shown."""
    name: str = ""
    """Folder below DATASET/embeddings; empty takes the one that the model made. If it made none,
    the embeddings are computed first, as 'make scores' does."""
    index: Kind = "auto"
    """flat compares with every sample; hnsw and ivf look at some and are built once. auto: by
    size."""
    format: OutputFormat = "table"
    """What goes to stdout."""
    html: str = ""
    """Also write the hits with their pictures to this file, a page that needs nothing else."""
    batch_size: int = 256
    """Pictures or captions encoded at a time, if there are no embeddings yet."""

    def __post_init__(self) -> None:
        require(self.top >= 1, f"--top must be at least 1, got {self.top}")
        require("/" not in self.name, "--name must be a plain folder name")
        require(self.batch_size >= 1, f"--batch-size must be at least 1, got {self.batch_size}")
        require(
            self.unique is None or 0 < self.unique <= 1,
            f"--unique must be above 0 and at most 1, got {self.unique}",
        )
        require(
            self.unwanted_weight > 0,
            f"--unwanted-weight must be above 0, got {self.unwanted_weight}",
        )


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """A dataset's embeddings in, a table for a vector database out."""

    dataset: str
    """Dataset folder; a local path or any fsspec URL."""
    name: str = "clip"
    """Folder below DATASET/embeddings."""
    output: str
    """For parquet a folder, a file per shard; for lance the folder of the table."""
    format: Literal["parquet", "lance"] = "parquet"
    """lance needs the package pylance."""
    dtype: Literal["float32", "float16"] = "float32"
    """Of the vectors. They are stored as float16, which not every database reads."""
    rows_per_group: int = 10_000
    """Samples of a row group, and held in memory at once."""

    def __post_init__(self) -> None:
        require(bool(self.name) and "/" not in self.name, "--name must be a plain folder name")
        require(bool(self.output), "--output must name a folder")
        require(
            self.rows_per_group >= 1, f"--rows-per-group must be at least 1: {self.rows_per_group}"
        )


def search() -> SearchConfig:
    """The samples nearest to a text, a picture, or both."""
    return SearchConfig()


def export() -> ExportConfig:
    """uid, url, caption, key, shard and both vectors of every sample."""
    return ExportConfig(dataset="out/dataset", output="out/vectors")


RETRIEVAL = {"search": search, "export": export}
