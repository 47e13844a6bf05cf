"""Flags of reshard.

python -m diagonal_data.reshard --dataset out/d --filter basic --output out/e --seed 7
python -m diagonal_data.reshard demo --local
"""

from collections.abc import Callable
from dataclasses import dataclass

from diagonal_infra.errors import require
from diagonal_infra.metrics_server import MetricsConfig


@dataclass(frozen=True, kw_only=True)
class ReshardConfig(MetricsConfig):
    """A dataset and a keep list in, a smaller dataset out."""

    dataset: str
    """Dataset folder to read."""
    filter: str | None
    """Name of the keep list under DATASET/filters; None for all samples."""
    output: str
    """Dataset folder to write."""
    samples_per_shard: int = 10_000
    """Samples in one new shard."""
    seed: int | None = None
    """Shuffles all samples over all shards, by uid; None: in the order of the dataset."""
    workers: int = 2
    """Ray workers, of a core each; each copies one shard at a time."""
    local: bool = False
    """Copy in this process, without Ray."""
    skip_damaged: bool = False
    """Go on without samples whose bytes are damaged; else their new shards are not written."""

    def __post_init__(self) -> None:
        require(self.samples_per_shard >= 1, "--samples-per-shard must be at least 1")
        require(self.workers >= 1, f"--workers must be at least 1, got {self.workers}")
        require(
            self.seed is None or 0 <= self.seed < 2**63,
            f"--seed must be 0 to 2^63 - 1, got {self.seed}",
        )


def keep_list() -> ReshardConfig:
    """The samples of a keep list, copied byte for byte into a smaller dataset. The default."""
    return ReshardConfig(dataset="out/dataset", filter="basic", output="out/resharded")


def demo_reshard() -> ReshardConfig:
    """The demo's kept samples as a dataset of their own."""
    return ReshardConfig(
        dataset="out/demo/dataset",
        filter="demo",
        output="out/demo/resharded",
        samples_per_shard=1_000,
    )


RESHARD: dict[str, Callable[[], ReshardConfig]] = {"keep-list": keep_list, "demo": demo_reshard}
DEFAULT = "keep-list"
