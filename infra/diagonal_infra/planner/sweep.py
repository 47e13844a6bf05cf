"""How many workers still help: simulated rates beside what each resource alone would allow."""

from collections.abc import Iterator, Sequence

from diagonal_infra.planner.config import ClusterModel, Pictures
from diagonal_infra.planner.simulation import Simulated, simulate

ALMOST_ALL = 0.9


def bounds(cluster: ClusterModel, pictures: Pictures, workers: int) -> dict[str, float]:
    """Candidates a second that each resource allows if all others were endless."""
    success = pictures.success_share
    return {
        "cpu": workers / pictures.cpu_seconds / success,
        "latency": workers * cluster.in_flight / cluster.mean_slot_seconds,
        "hosts": min(rate / share for share, rate in cluster.heavy_hosts),
        "bandwidth": pictures.link_rate(cluster.uplink_gigabits) / success,
    }


def sweep(cluster: ClusterModel, pictures: Pictures) -> Iterator[Simulated]:
    """One run after the other, with more and more workers."""
    for workers in sorted(set(cluster.workers)):
        yield simulate(cluster, pictures, workers)


def workers_that_help(runs: Sequence[Simulated]) -> int:
    """The fewest workers that have nearly the highest rate."""
    best = max(run.candidates_per_second for run in runs)
    return min(run.workers for run in runs if run.candidates_per_second >= ALMOST_ALL * best)
