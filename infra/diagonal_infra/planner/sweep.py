"""How many workers still help."""

from collections.abc import Iterator, Sequence

from diagonal_infra.planner.config import ClusterModel, Pictures
from diagonal_infra.planner.outcome import Simulated
from diagonal_infra.planner.simulation import simulate

ALMOST_ALL = 0.9


def sweep(cluster: ClusterModel, pictures: Pictures) -> Iterator[Simulated]:
    """One run after the other, with more and more workers."""
    for workers in sorted(set(cluster.workers)):
        yield simulate(cluster, pictures, workers)


def workers_that_help(runs: Sequence[Simulated]) -> int:
    """The fewest workers that have nearly the highest rate."""
    best = max(run.candidates_per_second for run in runs)
    return min(run.workers for run in runs if run.candidates_per_second >= ALMOST_ALL * best)
