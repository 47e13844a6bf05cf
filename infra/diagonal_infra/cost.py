"""What a job will take, reckoned from measured rates before any money is spent. Pure.

fetching   candidates ─► hours: the longer of what the cores can do and what the host with the
                         most candidates may be asked for; core-hours, bytes and money
"""

from dataclasses import dataclass

from diagonal_infra.errors import require

SECONDS_PER_HOUR = 3600.0
MEGA, GIGA = 1e6, 1e9


@dataclass(frozen=True, kw_only=True)
class FetchRates:
    """What is assumed of cores, hosts and pictures."""

    images_per_core_second: float = 60.0
    """Pictures that one core fetches and stores a second; `make bench WHAT=fetch` measures it."""
    cores: int = 64
    """Cores that fetch."""
    fetches_per_host_second: float = 4.0
    """Requests a second that one host is asked for at most."""
    success_share: float = 0.6
    """Share of the URLs that still give a picture."""
    image_kilobytes: float = 120.0
    """Mean size of a picture on the web."""
    stored_kilobytes: float = 20.0
    """Mean size of a sample as stored."""
    core_hour_price: float = 0.04
    """Of one core for one hour, in any currency."""

    def __post_init__(self) -> None:
        require(self.images_per_core_second > 0, "--rates.images-per-core-second must be above 0")
        require(self.cores >= 1, f"--rates.cores must be at least 1, got {self.cores}")
        require(self.fetches_per_host_second > 0, "--rates.fetches-per-host-second must be above 0")
        require(0 <= self.success_share <= 1, "--rates.success-share must be between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class FetchCost:
    """What fetching a list takes."""

    samples: int
    """Pictures expected in the dataset."""
    core_hours: float
    hours_of_cores: float
    """If only the cores limited it."""
    hours_of_largest_host: float
    """If only the host with the most URLs limited it: a tail, during which most cores are idle."""
    received_gb: float
    stored_gb: float
    megabits_per_second: float
    """Mean rate at which pictures arrive."""
    price: float
    """Of the core-hours."""

    @property
    def hours(self) -> float:
        """Expected from start to end."""
        return max(self.hours_of_cores, self.hours_of_largest_host)


def fetch_cost(candidates: int, largest_host: int, rates: FetchRates) -> FetchCost:
    """What it takes to fetch so many candidates, of which one host has `largest_host`."""
    core_seconds = candidates / rates.images_per_core_second
    samples = round(candidates * rates.success_share)
    received = samples * rates.image_kilobytes * 1e3
    hours_of_cores = core_seconds / rates.cores / SECONDS_PER_HOUR
    hours_of_host = largest_host / rates.fetches_per_host_second / SECONDS_PER_HOUR
    seconds = max(hours_of_cores, hours_of_host) * SECONDS_PER_HOUR
    return FetchCost(
        samples=samples,
        core_hours=core_seconds / SECONDS_PER_HOUR,
        hours_of_cores=hours_of_cores,
        hours_of_largest_host=hours_of_host,
        received_gb=received / GIGA,
        stored_gb=samples * rates.stored_kilobytes * 1e3 / GIGA,
        megabits_per_second=received * 8 / MEGA / seconds if seconds else 0.0,
        price=core_seconds / SECONDS_PER_HOUR * rates.core_hour_price,
    )
