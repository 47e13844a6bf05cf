"""95 % intervals of the numbers that evaluation reports.

Shape suffixes: N samples, C clusters, G groups, R resamples.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Z_95 = 1.959963984540054
"""Standard normal quantile at 0.975."""

RESAMPLES_AT_ONCE = 100
"""Bounds memory at this many counts per cluster."""

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A share of n independent yes-or-no outcomes."""

    successes: int
    n: int

    @property
    def value(self) -> float:
        """The share itself; 0 of nothing is 0."""
        return self.successes / self.n if self.n else 0.0

    @property
    def interval(self) -> Interval:
        """95 % Wilson interval."""
        return wilson_interval(self.successes, self.n)


def wilson_interval(successes: int, n: int) -> Interval:
    """95 % score interval of a share (Wilson, 1927), without continuity correction.

    Unlike the textbook interval it stays inside [0, 1] and keeps its width at 0 of n and n of n.
    Nothing known (n = 0) is the whole [0, 1].
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie in 0–n, got {successes} of {n}")
    if n == 0:
        return 0.0, 1.0
    share, z2 = successes / n, Z_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    low = 0.0 if successes == 0 else centre - half
    return low, (1.0 if successes == n else centre + half)


def bootstrap_mean_interval(
    values: ArrayLike,
    seed: int,
    *,
    groups: Sequence[str] | None = None,
    clusters: Sequence[str] | None = None,
    resamples: int = 1000,
) -> Interval:
    """95 % percentile bootstrap interval of a mean (Efron, 1979).

    Args:
        values: one number per sample.
        seed: same seed, same interval.
        groups: the statistic is the mean of the groups' means; None is one group.
        clusters: samples of one cluster (one concept in several styles) are drawn together,
            because their outcomes are not independent; None makes every sample its own.
        resamples: how often the samples are drawn again.
    """
    values_N = np.asarray(values, dtype=np.float64)
    n = len(values_N)
    if n == 0:
        raise ValueError("no values to bootstrap")
    group_N = np.unique(np.asarray(groups), return_inverse=True)[1] if groups else np.zeros(n, int)
    cluster_N = np.unique(np.asarray(clusters), return_inverse=True)[1] if clusters else range(n)
    sums_CG, counts_CG = _cluster_sums(values_N, group_N, np.asarray(cluster_N))
    rng = np.random.default_rng(seed)
    means_R = np.concatenate(
        [
            _resampled_means(sums_CG, counts_CG, min(RESAMPLES_AT_ONCE, resamples - done), rng)
            for done in range(0, resamples, RESAMPLES_AT_ONCE)
        ]
    )
    low, high = np.quantile(means_R, [0.025, 0.975])
    return float(low), float(high)


def _resampled_means(
    sums_CG: NDArray[np.float64],
    counts_CG: NDArray[np.float64],
    resamples: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """The mean of the groups' means in each resample of the clusters."""
    num_clusters = len(sums_CG)
    draws_RC = rng.multinomial(num_clusters, np.full(num_clusters, 1 / num_clusters), resamples)
    counts_RG = draws_RC @ counts_CG
    # A small group can be missing from a resample: that mean is taken over the other groups.
    means_RG = np.divide(
        draws_RC @ sums_CG, counts_RG, out=np.full(counts_RG.shape, np.nan), where=counts_RG > 0
    )
    return np.nanmean(means_RG, axis=1)


def _cluster_sums(
    values_N: NDArray[np.float64], group_N: NDArray[np.int_], cluster_N: NDArray[np.int_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum and count of the values per cluster (C) and group (G)."""
    shape = (int(cluster_N.max()) + 1, int(group_N.max()) + 1)
    sums_CG, counts_CG = np.zeros(shape), np.zeros(shape)
    np.add.at(sums_CG, (cluster_N, group_N), values_N)
    np.add.at(counts_CG, (cluster_N, group_N), 1)
    return sums_CG, counts_CG
