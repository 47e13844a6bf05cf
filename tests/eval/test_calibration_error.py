import numpy as np
import pytest

from diagonal_eval.calibration_error import (
    Doubles,
    Flags,
    adaptive_calibration_error,
    answers_for,
    ece_interval,
    expected_calibration_error,
    logits_from_probabilities,
    reliability_bins,
    risk_coverage,
)


def confidences(*values: float) -> Doubles:
    return np.array(values, dtype=np.float64)


def flags(text: str) -> Flags:
    return np.array([letter == "1" for letter in text])


def calibrated(rng: np.random.Generator, n: int) -> tuple[Doubles, Flags]:
    """Answers that are right as often as they say."""
    confidence_N = rng.uniform(0.3, 1.0, n)
    return confidence_N, rng.random(n) < confidence_N


def test_softmax_answers_agree_with_a_computation_by_hand() -> None:
    logits_NC = np.log(np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1]]))
    answers = answers_for(logits_NC, np.array([0, 0]))
    assert answers.confidence_N == pytest.approx([0.7, 0.6])
    assert answers.correct_N.tolist() == [True, False]
    assert answers.nll_N == pytest.approx(-np.log([0.7, 0.3]))
    by_hand = [0.3**2 + 0.2**2 + 0.1**2, 0.7**2 + 0.6**2 + 0.1**2]
    assert answers.brier_N == pytest.approx(by_hand)


def test_ece_agrees_with_a_computation_by_hand() -> None:
    # Two bins of five: {0.55, 0.6} with one right, {0.9, 0.95, 1.0} with two right.
    confidence_N, correct_N = confidences(0.55, 0.6, 0.9, 0.95, 1.0), flags("10110")
    expected = (abs(1 - 1.15) + abs(2 - 2.85)) / 5
    assert expected_calibration_error(confidence_N, correct_N, 5) == pytest.approx(expected)


def test_bins_are_closed_above_and_add_up() -> None:
    bins = reliability_bins(confidences(0.0, 0.5, 0.50001, 1.0), flags("0101"), 2)
    assert [one.accuracy.n for one in bins] == [2, 2]
    assert [one.accuracy.successes for one in bins] == [1, 1]
    assert bins[0].confidence == pytest.approx(0.25)


def test_an_empty_bin_has_no_confidence() -> None:
    bins = reliability_bins(confidences(0.9), flags("1"), 2)
    assert bins[0].confidence is None
    assert bins[0].accuracy.n == 0


def test_adaptive_bins_hold_equally_many_and_keep_ties_together() -> None:
    confidence_N, correct_N = confidences(0.1, 0.2, 0.8, 0.9), flags("0011")
    assert adaptive_calibration_error(confidence_N, correct_N, 2) == pytest.approx(0.6 / 4)
    tied_N, half_right = confidences(*[0.5] * 10), flags("1111100000")
    assert adaptive_calibration_error(tied_N, half_right, 5) == pytest.approx(0)
    assert expected_calibration_error(tied_N, half_right, 5) == pytest.approx(0)


def test_the_order_of_the_pictures_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    confidence_N, correct_N = rng.integers(1, 10, 200) / 10, rng.random(200) < 0.6
    mixed = rng.permutation(200)
    for measure in (expected_calibration_error, adaptive_calibration_error):
        assert measure(confidence_N[mixed], correct_N[mixed]) == pytest.approx(
            measure(confidence_N, correct_N)
        )
    curve = risk_coverage(confidence_N, correct_N)
    assert risk_coverage(confidence_N[mixed], correct_N[mixed]).aurc == pytest.approx(curve.aurc)


def test_rows_that_are_not_finite_are_left_out_and_counted() -> None:
    logits_NC = np.array([[np.nan, 0.0], [1.0, 0.0], [np.inf, 0.0], [0.0, -np.inf]])
    answers = answers_for(logits_NC, np.array([1, 0, 0, 0]))
    assert answers.excluded == 3
    assert answers.correct_N.tolist() == [True]


def test_a_tie_is_wrong() -> None:
    answers = answers_for(np.zeros((1, 4)), np.array([0]))
    assert not answers.correct_N[0]
    assert answers.confidence_N[0] == pytest.approx(0.25)


@pytest.mark.parametrize("truth", [[2], [-1], [0, 0]])
def test_truths_that_do_not_fit_are_refused(truth: list[int]) -> None:
    with pytest.raises(ValueError, match=r"lies outside|do not fit"):
        answers_for(np.zeros((1, 2)), np.array(truth))


def test_probabilities_become_logits_and_others_are_refused() -> None:
    probabilities_NC = np.array([[0.25, 0.75], [0.0, 1.0]])
    answers = answers_for(logits_from_probabilities(probabilities_NC), np.array([1, 0]))
    assert answers.confidence_N == pytest.approx([0.75, 1.0])
    assert answers.nll_N[1] == pytest.approx(-np.log(1e-12))
    with pytest.raises(ValueError, match="add up to 1"):
        logits_from_probabilities(np.array([[0.5, 0.6]]))


def test_withholding_the_least_confident_lowers_the_risk_as_computed_by_hand() -> None:
    curve = risk_coverage(confidences(0.9, 0.8, 0.7, 0.6), flags("1100"))
    assert curve.risk == pytest.approx([0, 0, 1 / 3, 1 / 2])
    assert curve.coverage == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert curve.aurc == curve.best_aurc == pytest.approx((1 / 3 + 1 / 2) / 4)
    worst = risk_coverage(confidences(0.9, 0.8, 0.7, 0.6), flags("0011"))
    assert worst.aurc == pytest.approx((1 + 1 + 2 / 3 + 1 / 2) / 4)
    assert worst.best_aurc == curve.best_aurc


def test_without_any_ranking_the_risk_is_the_error_everywhere() -> None:
    curve = risk_coverage(confidences(*[0.5] * 8), flags("11110000"))
    assert curve.risk == pytest.approx([0.5] * 8)


def test_the_interval_of_the_ece_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    held = 0
    for trial in range(100):
        confidence_N, right_N = calibrated(rng, 400)
        correct_N = right_N & (rng.random(400) < 0.7)
        low, high = ece_interval(confidence_N, correct_N, seed=trial, resamples=200)
        # Right 0.7 times as often as it says: the error is 0.3 of the mean confidence, 0.65.
        held += low <= 0.3 * 0.65 <= high
    assert 88 <= held <= 99


def test_the_interval_of_a_calibrated_model_reaches_zero() -> None:
    confidence_N, correct_N = calibrated(np.random.default_rng(3), 2000)
    low, high = ece_interval(confidence_N, correct_N, seed=0)
    assert low == 0.0
    assert high < 0.07


def test_no_answers_are_refused() -> None:
    nothing, no_flags = confidences(), flags("")
    for measure in (expected_calibration_error, adaptive_calibration_error, risk_coverage):
        with pytest.raises(ValueError, match="no answers"):
            measure(nothing, no_flags)
