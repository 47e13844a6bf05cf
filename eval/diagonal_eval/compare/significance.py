"""Paired tests: the same samples, two models.

    mcnemar_p        exact, for shares of hits: only samples on which the models differ count
    bootstrap        both metrics on the same resample, so that what is common cancels

Shape suffixes: K cells, R resamples, T tasks.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from diagonal_eval.compare.metrics import PairedMetric
from diagonal_eval.intervals import Interval

Doubles = NDArray[np.float64]
RESAMPLES_AT_ONCE = 100
"""Bounds memory at this many counts per cell."""


def mcnemar_p(only_a: int, only_b: int) -> float:
    """Two-sided exact p of McNemar's test (1947), conditional on the discordant pairs.

    Under equal models each of them is a coin: p is twice the smaller tail of Binomial(n, ½), at
    most 1. Summed in logarithms, so that no number of samples overflows.
    """
    n, least = only_a + only_b, min(only_a, only_b)
    if n == 0 or 2 * least >= n - 1:
        return 1.0
    k = np.arange(1, least + 1)
    log_terms = np.concatenate([[0.0], np.cumsum(np.log(n - k + 1) - np.log(k))]) - n * np.log(2)
    return float(min(1.0, 2 * np.exp(np.logaddexp.reduce(log_terms))))


def bootstrap_differences(metric: PairedMetric, *, seed: Sequence[int], resamples: int) -> Doubles:
    """B − A in each of the resamples."""
    rng = np.random.default_rng(list(seed))
    total = int(metric.count_K.sum())
    share_K = metric.count_K / total
    found = []
    for done in range(0, resamples, RESAMPLES_AT_ONCE):
        draws_RK = rng.multinomial(total, share_K, min(RESAMPLES_AT_ONCE, resamples - done))
        found += [metric.b(draw_K) - metric.a(draw_K) for draw_K in draws_RK.astype(float)]
    return np.array(found)


def percentile_interval(values_R: Doubles) -> Interval:
    """95 %; resamples in which the metric is not defined are left out."""
    low, high = np.nanquantile(values_R, [0.025, 0.975])
    return float(low), float(high)


def bootstrap_p(differences_R: Doubles) -> float:
    """Two-sided: twice the share of resamples on the other side of zero.

    At least 2 / (R + 1), because no finite number of resamples shows less; at most 1.
    """
    known_R = differences_R[~np.isnan(differences_R)]
    tail = min(int((known_R <= 0).sum()), int((known_R >= 0).sum()))
    return min(1.0, 2 * (tail + 1) / (len(known_R) + 1))


def overall_differences(differences_TR: Doubles, seed: int) -> Doubles:
    """The mean over tasks, with tasks drawn again and, inside each, its samples.

    Each drawn task takes a resample of its own at random, so that a task drawn twice does not
    bring the same samples twice.
    """
    num_tasks, resamples = differences_TR.shape
    rng = np.random.default_rng(seed)
    tasks_RT = rng.integers(num_tasks, size=(resamples, num_tasks))
    which_RT = rng.integers(resamples, size=(resamples, num_tasks))
    return np.nanmean(differences_TR[tasks_RT, which_RT], axis=1)
