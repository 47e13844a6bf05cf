"""Configuration tree of the eval command; recipes.py holds the named choices."""

from dataclasses import dataclass

from diagonal_infra.errors import require
from diagonal_infra.metrics_server import MetricsConfig


@dataclass(frozen=True, kw_only=True)
class EvalConfig(MetricsConfig):
    """A checkpoint and a dataset with ground truth in, results and a report out."""

    checkpoint: str
    """Run folder (its last checkpoint counts) or RUN/checkpoints/step-00001000."""
    output: str
    """Folder for results.json, predictions.parquet, report.html and cached embeddings."""
    data: str
    """Dataset folder with the pictures to classify; that of the training is found in the run."""
    labels: str
    """Ground truth of the demo's drawings, Parquet: url, style, hexcode, label, held-out flags."""
    templates: tuple[str, ...]
    """Prompt templates of the ensemble; {} stands for the class name."""
    tasks: tuple[str, ...] = ()
    """Further tasks, as `zeroshot` takes them: digits, weak, wds:DIR."""
    batch_size: int = 256
    """Pictures or texts embedded at a time."""
    seed: int = 0
    """Draws the bootstrap's resamples and the pictures of the report."""
    bootstrap_resamples: int = 1000
    """Resamples behind the interval of the mean over held-out styles."""
    matrix_pairs: int = 64
    """Picture–label pairs in the similarity matrices of the report."""
    sheet_samples: int = 24
    """Pictures per sample sheet of the report."""

    def __post_init__(self) -> None:
        require(bool(self.templates), "--templates must name at least one template")
        for template in self.templates:
            require("{}" in template, f"--templates: {template!r} has no {{}} for the class name")
        require(self.batch_size >= 1, f"--batch-size must be at least 1, got {self.batch_size}")
        require(self.bootstrap_resamples >= 1, "--bootstrap-resamples must be at least 1")
        require(self.matrix_pairs >= 2, "--matrix-pairs must be at least 2")
        require(self.sheet_samples >= 0, "--sheet-samples must be at least 0")
