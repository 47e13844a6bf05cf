import numpy as np
import pytest

from diagonal_eval.intervals import Rate, bootstrap_mean_interval, wilson_interval


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_published_values(successes: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_mirrors_and_stays_inside() -> None:
    low, high = wilson_interval(20, 20)
    assert high == 1.0
    assert low == pytest.approx(1 - wilson_interval(0, 20)[1])
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="3 of 2"):
        wilson_interval(3, 2)


def test_rate_is_a_share_with_its_interval() -> None:
    rate = Rate(successes=15, n=148)
    assert rate.value == 15 / 148
    assert rate.interval == wilson_interval(15, 148)


def test_bootstrap_matches_the_normal_interval_of_many_samples() -> None:
    values = np.random.default_rng(1).random(1000)
    low, high = bootstrap_mean_interval(values, 0, resamples=2000)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=half / 8)
    assert high == pytest.approx(values.mean() + half, abs=half / 8)


def test_bootstrap_repeats_with_its_seed_only() -> None:
    values = np.random.default_rng(1).random(50)
    assert bootstrap_mean_interval(values, 3) == bootstrap_mean_interval(values, 3)
    assert bootstrap_mean_interval(values, 3) != bootstrap_mean_interval(values, 4)


def test_bootstrap_weighs_groups_and_not_samples() -> None:
    values, groups = [1.0] * 90 + [0.0] * 10, ["big"] * 90 + ["small"] * 10
    assert bootstrap_mean_interval(values, 0, groups=groups) == (0.5, 0.5)


def test_samples_of_one_cluster_widen_the_interval() -> None:
    values = [float(i % 2) for i in range(100) for _ in range(2)]
    clusters = [str(i) for i in range(100) for _ in range(2)]
    apart = np.ptp(bootstrap_mean_interval(values, 0))
    together = np.ptp(bootstrap_mean_interval(values, 0, clusters=clusters))
    assert together > 1.2 * apart


def test_no_values_have_no_interval() -> None:
    with pytest.raises(ValueError, match="no values"):
        bootstrap_mean_interval([], 0)
