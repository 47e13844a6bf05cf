"""What is planned: the dataset, the model, the hardware and what it costs.

A field that is None is taken from what `make bench` measured here, or else from what others
published; the plan says which.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

from diagonal_infra.errors import require
from diagonal_infra.planner.flops import ModelPlan

TRACKED_HOSTS = 3
"""Hosts of each kind that the simulation follows: the heaviest are what can be the limit."""


def _check(
    group: str, config: object, *, above_zero: tuple[str, ...], shares: tuple[str, ...]
) -> None:
    for name in above_zero:
        value = getattr(config, name)
        flag = f"--{group}.{name.replace('_', '-')}"
        require(value is None or value > 0, f"{flag} must be above 0, got {value}")
    for name in shares:
        value = getattr(config, name)
        flag = f"--{group}.{name.replace('_', '-')}"
        require(value is None or 0 <= value <= 1, f"{flag} must be 0 to 1, got {value}")


@dataclass(frozen=True, kw_only=True)
class ScrapePlan:
    """Candidates to a dataset."""

    pairs: int = 400_000_000
    """Pairs that the finished dataset shall have."""
    success_share: float | None = None
    """Share of the URLs that still give a picture; old lists give less."""
    kept_share: float = 0.9
    """Share of the pictures that filters keep: captions are balanced before fetching, so that only
    copies and unsafe pictures go afterwards."""
    cores: int = 256
    """Cores that fetch, with one worker each."""
    images_per_core_second: float | None = None
    """Pictures that one core fetches, decodes and stores a second."""
    image_kilobytes: float | None = None
    """Mean size of a picture on the web."""
    stored_kilobytes: float | None = None
    """Mean size of a stored sample; it follows from the stored image size."""
    score_per_gpu_second: float | None = None
    """Pictures that one GPU embeds a second, for CLIP scores."""

    def __post_init__(self) -> None:
        _check(
            "scrape",
            self,
            above_zero=(
                "pairs",
                "success_share",
                "kept_share",
                "cores",
                "images_per_core_second",
                "image_kilobytes",
                "stored_kilobytes",
                "score_per_gpu_second",
            ),
            shares=("success_share", "kept_share"),
        )


@dataclass(frozen=True, kw_only=True)
class ClusterModel:
    """What one worker, the hosts and the network do, for the simulation."""

    workers: tuple[int, ...] = (1, 4, 16, 64, 128, 256, 512, 1000, 2000)
    """Numbers of workers that are simulated."""
    in_flight: int = 256
    """--fetch.max-in-flight."""
    unit_candidates: int = 10_000
    """--samples-per-shard."""
    units_at_once: int = 2
    """Units in one worker."""
    latency_seconds: float = 0.3
    """Median time to an answer's last byte; log-normal."""
    latency_sigma: float = 1.0
    """Of the logarithm of that time."""
    hang_share: float = 0.03
    """Share of the URLs that never answer."""
    hang_seconds: float = 30.0
    """How long such a URL holds a slot, retries included."""
    backlog: int = 600
    """Pictures that may await decoding in a worker: as many as 64 MiB hold."""
    uplink_gigabits: float = 40.0
    """Of the link that all workers share."""
    largest_host_share: float = 0.005
    """Share of the URLs that are on the largest host; the k-th has 1/k^exponent of it."""
    host_exponent: float = 0.8
    """How fast the shares of the next hosts fall."""
    fast_hosts: int = 100
    """Largest hosts that are named with --fetch.fast-hosts."""
    fast_per_second: float = 100.0
    """--fetch.fast-max-per-second."""
    fast_per_host: int = 32
    """--fetch.fast-max-per-host."""
    per_second: float = 5.0
    """--fetch.max-per-second; 0 is no limit."""
    per_host: int = 4
    """--fetch.max-per-host."""
    preemptions_per_hour: float = 0.05
    """How often one worker is taken away."""
    replacement_seconds: float = 180.0
    """Until another one is there and has started."""
    seconds: float = 600.0
    """Simulated time; the second half counts."""
    step_seconds: float = 0.2
    """Simulated at once."""
    seed: int = 0
    """Of the draws."""

    def __post_init__(self) -> None:
        _check(
            "cluster",
            self,
            above_zero=(
                "in_flight",
                "unit_candidates",
                "units_at_once",
                "latency_seconds",
                "backlog",
                "uplink_gigabits",
                "fast_per_host",
                "per_host",
                "seconds",
                "step_seconds",
                "largest_host_share",
            ),
            shares=("hang_share", "largest_host_share"),
        )
        for name in ("latency_sigma", "host_exponent", "preemptions_per_hour", "per_second"):
            flag = name.replace("_", "-")
            require(getattr(self, name) >= 0, f"--cluster.{flag} must not be negative")
        require(
            self.step_seconds <= self.latency_seconds,
            "--cluster.step-seconds must be at most --cluster.latency-seconds",
        )
        require(bool(self.workers), "--cluster.workers needs at least one number")
        require(min(self.workers) >= 1, "--cluster.workers must be at least 1 each")
        require(
            sum(share for share, _ in self.heavy_hosts) <= 1,
            "--cluster.largest-host-share and its like are more than 1 together",
        )

    @property
    def mean_latency_seconds(self) -> float:
        """Of a URL that is answered."""
        return self.latency_seconds * math.exp(self.latency_sigma**2 / 2)

    @property
    def mean_slot_seconds(self) -> float:
        """Of any URL in a worker."""
        answered = (1 - self.hang_share) * self.mean_latency_seconds
        return answered + self.hang_share * self.hang_seconds

    @property
    def longest_seconds(self) -> float:
        """What a latency is cut at."""
        return max(self.hang_seconds, self.latency_seconds * math.exp(4 * self.latency_sigma))

    @property
    def heavy_hosts(self) -> tuple[tuple[float, float], ...]:
        """Share of the URLs, and requests a second, of the heaviest hosts of both kinds."""
        ranks = {*range(1, min(self.fast_hosts, TRACKED_HOSTS) + 1)}
        ranks |= {*range(self.fast_hosts + 1, self.fast_hosts + TRACKED_HOSTS + 1)}
        return tuple(
            (self.largest_host_share / rank**self.host_exponent, self.host_rate(rank))
            for rank in sorted(ranks)
        )

    def host_rate(self, rank: int) -> float:
        """Requests a second to the host of this rank, over all workers; URLs that hang are rarely
        those of hosts with many."""
        is_fast = rank <= self.fast_hosts
        by_slots = (self.fast_per_host if is_fast else self.per_host) / self.mean_latency_seconds
        by_rule = self.fast_per_second if is_fast else self.per_second
        return min(by_slots, by_rule or math.inf)


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """What is fetched."""

    success_share: float
    """Share of the URLs that give a picture."""
    cpu_seconds: float
    """Of a core for one of them."""
    kilobytes: float
    """Mean size on the link."""

    def link_rate(self, gigabits: float) -> float:
        """Pictures a second that a link carries."""
        return gigabits * 1e9 / 8 / (self.kilobytes * 1e3)


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """Samples through a model on GPUs."""

    samples: float = 12.8e9
    """Seen in all, at the model's image size."""
    last_image_size: int | None = None
    """Pixels of a side in the end; None: as before."""
    last_samples: float = 0.0
    """Seen at that size, after the others."""
    gpu: Literal["a100", "h100", "h200"] = "a100"
    """Kind of GPU."""
    gpus: int = 128
    """That train together."""
    utilisation: float = 0.12
    """Share of the peak that training has: 0.12 is what open_clip's runs had; 0.3 is a good run."""

    def __post_init__(self) -> None:
        _check(
            "training",
            self,
            above_zero=("samples", "gpus", "utilisation"),
            shares=("utilisation",),
        )


@dataclass(frozen=True, kw_only=True)
class Prices:
    """In any one currency; assumptions, to be replaced by your own."""

    core_hour: float = 0.02
    """Of one core of a machine that may be taken away."""
    gpu_hour: float = 2.0
    """Of one GPU."""
    terabyte_month: float = 23.0
    """Of object storage."""
    months: float = 3.0
    """How long the dataset is stored."""


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """A whole CLIP, from the first URL to the last step."""

    scrape: ScrapePlan = field(default_factory=ScrapePlan)
    cluster: ClusterModel = field(default_factory=ClusterModel)
    model: ModelPlan = field(default_factory=ModelPlan)
    training: TrainingPlan = field(default_factory=TrainingPlan)
    prices: Prices = field(default_factory=Prices)
    results: str = "benchmarks/results"
    """Folder of what `make bench` measured; published figures stand in for what is not there."""
    page: str = "out/plan.html"
    """Where the page with the chart is written; empty: nowhere."""
    simulate: bool = True
    """Simulate the cluster; takes some seconds."""
    json: bool = False
    """One JSON object on stdout instead of tables."""

    def __post_init__(self) -> None:
        size, patch = self.training.last_image_size, self.model.patch_size
        require(
            size is None or size % patch == 0,
            f"--training.last-image-size {size} is no multiple of --model.patch-size {patch}",
        )
