import math

import numpy as np
import pytest
from scipy import stats

from diagonal_eval.compare.metrics import PairedMetric
from diagonal_eval.compare.significance import (
    bootstrap_differences,
    bootstrap_p,
    mcnemar_p,
    overall_differences,
    percentile_interval,
)


@pytest.mark.parametrize(
    ("only_a", "only_b"),
    [(0, 0), (0, 1), (1, 0), (3, 3), (3, 4), (0, 10), (5, 15), (121, 59), (1000, 1100), (7, 4000)],
)
def test_mcnemar_is_the_exact_binomial_test(only_a: int, only_b: int) -> None:
    n = only_a + only_b
    expected = stats.binomtest(only_a, n).pvalue if n else 1.0
    assert mcnemar_p(only_a, only_b) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_of_millions_is_a_number() -> None:
    p = mcnemar_p(1_000_000, 1_003_000)
    z = 3000 / math.sqrt(2_003_000)
    assert p == pytest.approx(2 * stats.norm.sf(z), rel=0.01)


def coins(n: int, both: float, only_a: float, only_b: float) -> PairedMetric:
    """Four cells: right in both, in A only, in B only, in none."""
    share_K = np.array([both, only_a, only_b, 1 - both - only_a - only_b])
    right_a, right_b = np.array([1.0, 1, 0, 0]), np.array([1.0, 0, 1, 0])
    return PairedMetric(
        n=n,
        count_K=np.round(n * share_K).astype(np.float64),
        a=lambda weight_K: float(weight_K @ right_a / weight_K.sum()),
        b=lambda weight_K: float(weight_K @ right_b / weight_K.sum()),
    )


def test_the_paired_interval_is_that_of_the_discordant_samples() -> None:
    # Wald's interval of a paired difference: what is common to both cancels.
    n, only_a, only_b = 2000, 0.05, 0.08
    differences_R = bootstrap_differences(coins(n, 0.6, only_a, only_b), seed=[0], resamples=4000)
    half = 1.96 * math.sqrt((only_a + only_b - (only_b - only_a) ** 2) / n)
    low, high = percentile_interval(differences_R)
    assert (low, high) == pytest.approx((0.03 - half, 0.03 + half), abs=half / 8)


def test_the_bootstrap_repeats_with_its_seed_only() -> None:
    first, again, other = (
        bootstrap_differences(coins(100, 0.5, 0.1, 0.1), seed=[seed], resamples=250)
        for seed in (1, 1, 2)
    )
    assert len(first) == 250
    assert (first == again).all()
    assert (first != other).any()


def test_bootstrap_p_is_one_without_a_difference_and_never_zero() -> None:
    assert bootstrap_p(np.zeros(100)) == 1.0
    assert bootstrap_p(np.full(999, 0.1)) == 2 / 1000
    assert bootstrap_p(np.array([np.nan, 0.1, 0.2, 0.3])) == 0.5


def test_the_overall_interval_covers_tasks_and_samples() -> None:
    rng = np.random.default_rng(0)
    alike = rng.normal(0.1, 0.01, (20, 2000))
    unlike = alike + rng.normal(0, 0.1, (20, 1))
    widths = []
    for differences_TR in (alike, unlike):
        low, high = percentile_interval(overall_differences(differences_TR, 0))
        assert low < differences_TR.mean() < high
        widths.append(high - low)
    assert widths[0] == pytest.approx(2 * 1.96 * 0.01 / math.sqrt(20), rel=0.15)
    spread = unlike.mean(axis=1).std()
    assert widths[1] == pytest.approx(2 * 1.96 * math.hypot(spread, 0.01) / math.sqrt(20), rel=0.15)
