"""Configuration of `python -m diagonal_eval zeroshot`."""

from dataclasses import dataclass, field

from diagonal_eval.sets.config import SetsConfig
from diagonal_eval.weak_spots.config import WeakSpotConfig
from diagonal_infra.errors import require
from diagonal_infra.metrics_server import MetricsConfig


@dataclass(frozen=True, kw_only=True)
class SuiteConfig(MetricsConfig):
    """A checkpoint and evaluation sets in, results, predictions and a report out."""

    checkpoint: str
    """Run folder, RUN/checkpoints/step-00001000, or a model of open_clip's: open_clip:NAME:FILE."""
    tasks: tuple[str, ...]
    """Sets by name, by collection (clip-paper, vtab+, shifts, retrieval, weak, …) or by place:
    wds:DIR, folder:DIR, shards:DATASET. `python -m diagonal_eval.sets list` shows them."""
    output: str
    """Folder for results.json, predictions/, tables and report.html."""
    sets: SetsConfig = field(default_factory=SetsConfig)
    weak: WeakSpotConfig = field(default_factory=WeakSpotConfig)
    class_design: str | None = None
    """For sets with groups, such as fairness: how many of each group fall to classes of other kinds
    that are offered too. `paper` for those of the CLIP paper (crime, non-human; then child), or a
    JSON file {kind: [class, …]}."""
    baselines: tuple[str, ...] = ()
    """Other models' accuracies on ImageNet and its shifts, for effective robustness: their
    results.json, or CSV with name, shift, reference, shifted."""
    follow: str | None = None
    """A run whose checkpoints are evaluated as they land, in place of --checkpoint."""
    poll_seconds: float = 30.0
    """How often --follow looks for a new checkpoint."""
    cache: str | None = None
    """Where features are kept, by content; None: OUTPUT/cache. Evaluations may share it."""
    batch_size: int = 256
    """Pictures or texts encoded at a time."""
    per_template: bool = True
    """Whether every template is also measured alone, and the bare label."""
    seed: int = 0
    """Of the resamples behind intervals."""
    resamples: int = 1000
    """Of each bootstrap."""

    def __post_init__(self) -> None:
        require(bool(self.tasks), "--tasks must name at least one set")
        require(self.batch_size >= 1, f"--batch-size must be at least 1, got {self.batch_size}")
        require(self.resamples >= 100, f"--resamples must be at least 100, got {self.resamples}")
        require(self.poll_seconds > 0, f"--poll-seconds must be above 0, got {self.poll_seconds}")
