"""Configuration of `python -m diagonal_eval.compare`."""

from dataclasses import dataclass

from diagonal_infra.cli import Positional
from diagonal_infra.errors import require


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Two evaluations of the same tasks."""

    a: Positional[str]
    """Folder of the first evaluation: the one to beat. Local or a URL."""
    b: Positional[str]
    """Folder of the second evaluation."""
    output: str | None = None
    """Folder for compare.html, compare.json and changed.parquet; nothing is written without."""
    seed: int = 0
    """Of the bootstrap: same seed, same numbers."""
    resamples: int = 2000
    """How often the samples are drawn again; at least 100."""
    changed_shown: int = 12
    """Changed samples per task and direction in compare.html; changed.parquet has all."""

    def __post_init__(self) -> None:
        require(self.resamples >= 100, "--resamples must be at least 100")
        require(self.changed_shown >= 0, "--changed-shown must be at least 0")
        require(self.seed >= 0, "--seed must be at least 0")
