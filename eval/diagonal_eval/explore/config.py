"""Configuration of the explorer, and its recipes.

python -m diagonal_eval.explore --dataset out/d --model out/run --port 8501
python -m diagonal_eval.explore report --dataset out/d --output report.html
"""

from dataclasses import dataclass

from diagonal_infra.errors import require

SERVE = "serve"
"""The recipe of a command line that names none."""


@dataclass(frozen=True, kw_only=True)
class ExploreConfig:
    """A dataset in, pages on 127.0.0.1 out."""

    dataset: str
    """Dataset folder; a local path or any fsspec URL."""
    model: str = ""
    """Run folder or checkpoint; without it there is no search by text, playground or matrix."""
    embeddings: str = ""
    """Folder below DATASET/embeddings to search; empty takes the one that the model made."""
    port: int = 8501
    """Port on 127.0.0.1; 0 takes a free one."""
    seconds: float = 20.0
    """Longest time one search may take; what was found until then is shown."""

    def __post_init__(self) -> None:
        require(0 <= self.port <= 65535, f"--port must be 0–65535, got {self.port}")
        require(self.seconds > 0, f"--seconds must be above 0, got {self.seconds}")
        require("/" not in self.embeddings, "--embeddings must be a plain folder name")


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """A dataset in, one HTML file with contact sheets out."""

    dataset: str
    """Dataset folder; a local path or any fsspec URL."""
    output: str = "report.html"
    """The file to write."""
    pictures_per_sheet: int = 12
    """Pictures of one contact sheet."""
    most_columns: int = 12
    """Score columns that are drawn."""

    def __post_init__(self) -> None:
        require(1 <= self.pictures_per_sheet <= 100, "--pictures-per-sheet must be 1–100")
        require(0 <= self.most_columns <= 100, "--most-columns must be 0–100")


def serve() -> ExploreConfig:
    """Pages on 127.0.0.1 until Ctrl-C."""
    return ExploreConfig(dataset="out/demo/dataset")


def demo() -> ExploreConfig:
    """The demo's dataset and model; run diagonal_eval.scores first to search by text."""
    return ExploreConfig(dataset="out/demo/dataset", model="out/demo/run")


def report() -> ReportConfig:
    """Contact sheets of scores, filters and copies as one file, for those without a server."""
    return ReportConfig(dataset="out/demo/dataset", output="out/demo/explore.html")


EXPLORE = {SERVE: serve, "demo": demo, "report": report}
