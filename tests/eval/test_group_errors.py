import json

import numpy as np
import pytest

from diagonal_eval.group_errors import (
    compare_groups,
    gap_interval,
    gaps_record,
    groups_record,
    holm,
    intersections,
    permutation_p,
    rates_of_groups,
)
from diagonal_eval.intervals import Rate


def rates(*counts: tuple[int, int]) -> list[Rate]:
    return [Rate(successes=successes, n=n) for successes, n in counts]


def outcomes(**of_value: tuple[int, int]) -> tuple[np.ndarray, list[str]]:
    """Right answers and pictures of each value."""
    right = [i < yes for yes, n in of_value.values() for i in range(n)]
    return np.array(right), [value for value, (_, n) in of_value.items() for _ in range(n)]


def test_rates_best_worst_and_gap() -> None:
    correct_N, values = outcomes(old=(60, 100), young=(90, 100), child=(75, 100))
    found = rates_of_groups(correct_N, values, seed=0)
    assert list(found.rates) == ["child", "old", "young"]
    assert found.rates["old"].interval == Rate(successes=60, n=100).interval
    assert found.gap is not None
    assert (found.gap.worst, found.gap.best) == ("old", "young")
    assert found.gap.value == pytest.approx(0.3)
    assert 0.1 < found.gap.interval[0] < 0.3 < found.gap.interval[1] < 0.5
    assert found.gap.p < 0.001


def test_small_groups_are_shown_but_not_compared_and_unknown_ones_counted() -> None:
    correct_N, values = outcomes(a=(50, 100), b=(60, 100), rare=(0, 3))
    correct_N = np.append(correct_N, [True, False])
    found = rates_of_groups(correct_N, [*values, "", ""], seed=0)
    assert found.rates["rare"].n == 3
    assert found.too_small == ("rare",)
    assert found.unknown == 2
    assert found.gap is not None
    assert found.gap.worst == "a"


@pytest.mark.parametrize("values", [["a"] * 30, ["a"] * 25 + ["b"] * 5, [""] * 30])
def test_one_group_has_no_gap_and_says_so(values: list[str]) -> None:
    found = {"x": rates_of_groups(np.ones(30, dtype=bool), values, seed=0)}
    record = gaps_record(found)["x"]
    assert record["gap"] is None
    assert "fewer than two groups" in record["note"]


def test_a_difference_that_is_chance_is_called_so_as_often_as_it_should() -> None:
    rng = np.random.default_rng(0)
    alarms = covered = 0
    for trial in range(100):
        drawn = rates(*((int(rng.binomial(80, 0.7)), 80) for _ in range(4)))
        alarms += permutation_p(drawn, seed=trial, permutations=199) <= 0.05
        low, _ = gap_interval(drawn, seed=trial, resamples=400)
        covered += low == 0.0
    assert alarms <= 11
    assert covered >= 92


def test_the_interval_of_a_real_gap_holds_it() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for trial in range(100):
        drawn = rates(*((int(rng.binomial(60, share)), 60) for share in (0.95, 0.9, 0.7)))
        low, high = gap_interval(drawn, seed=trial, resamples=400)
        held += low <= 0.25 <= high
    assert held >= 90


def test_groups_without_any_error_keep_an_interval() -> None:
    low, high = gap_interval(rates((20, 20), (20, 20)), seed=0)
    assert low == 0.0
    assert high > 0.05
    assert permutation_p(rates((20, 20), (20, 20)), seed=0) == 1.0


def test_the_permutation_test_agrees_with_fishers_exact_test() -> None:
    # Fisher's tea: 3 of 4 against 1 of 4; two-sided p = 34/70.
    assert permutation_p(rates((3, 4), (1, 4)), seed=0) == pytest.approx(34 / 70, abs=0.02)


def test_holm_corrects_as_in_the_textbook() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_p_values_are_corrected_for_the_attributes_that_were_compared() -> None:
    correct_N, values = outcomes(a=(30, 100), b=(60, 100))
    same = ["x", "y"] * 100
    found = compare_groups(
        correct_N, {"first": values, "second": same, "single": ["z"] * 200}, seed=0
    )
    gap = found["first"].gap
    assert gap is not None
    assert gap.comparisons == 2
    assert gap.p_holm == pytest.approx(2 * gap.p)
    assert found["single"].gap is None


def test_intersections_join_what_is_known() -> None:
    groups = {"age": ["young", "old", ""], "gender": ["f", "m", "f"]}
    assert intersections(groups) == {"age × gender": ("young × f", "old × m", "")}
    assert intersections({"age": ["young"]}) == {}


@pytest.mark.parametrize(
    "correct_N", [np.array([1.0, np.nan]), np.array([True]), np.zeros((2, 2), dtype=bool)]
)
def test_outcomes_that_are_no_booleans_of_each_picture_are_refused(correct_N) -> None:
    with pytest.raises(ValueError, match="must be 2 booleans"):
        rates_of_groups(correct_N, ["a", "b"], seed=0)


def test_records_are_json_in_the_shape_of_results() -> None:
    correct_N, values = outcomes(a=(30, 100), b=(60, 100))
    found = compare_groups(correct_N, {"attribute": values}, seed=0, resamples=100)
    record = json.loads(json.dumps(groups_record(found), allow_nan=False))
    assert record["attribute"]["a"]["n"] == 100
    assert record["attribute"]["a"]["acc1"] == pytest.approx(0.3)
    gap = json.loads(json.dumps(gaps_record(found), allow_nan=False))["attribute"]
    assert gap["worst"] == "a"
    assert gap["lowest"] == pytest.approx(0.3)
    assert gap["ci95"][0] < gap["gap"] < gap["ci95"][1]
