import numpy as np
import pytest
from numpy.typing import NDArray

from diagonal_eval.calibration_error import answers_for
from diagonal_eval.temperature import fit_on_half, fit_temperature


def drawn(n: int, temperature: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits that are `temperature` times too large for the truths that they drew."""
    rng = np.random.default_rng(5)
    logits_NC = rng.normal(size=(n, 6)) * 2
    probability_NC = np.exp(logits_NC) / np.exp(logits_NC).sum(axis=1, keepdims=True)
    truth_N = (rng.random((n, 1)) > probability_NC.cumsum(axis=1)).sum(axis=1)
    return logits_NC * temperature, np.minimum(truth_N, 5)


@pytest.mark.parametrize("temperature", [0.05, 1.0, 30.0])
def test_the_temperature_that_was_put_in_is_found(temperature: float) -> None:
    logits_NC, truth_N = drawn(20_000, temperature)
    assert fit_temperature(logits_NC, truth_N) == pytest.approx(temperature, rel=0.05)


def test_no_other_temperature_has_a_smaller_nll() -> None:
    logits_NC, truth_N = drawn(300, 4.0)
    best = fit_temperature(logits_NC, truth_N)
    nll = [
        answers_for(logits_NC / t, truth_N).nll_N.mean() for t in (best, best * 1.02, best / 1.02)
    ]
    assert nll[0] < min(nll[1:])


def test_the_other_half_is_better_calibrated_and_as_accurate() -> None:
    fit = fit_on_half(*drawn(4000, 8.0), seed=0)
    assert fit is not None
    assert (fit.n_fit, fit.n_test) == (2000, 2000)
    assert fit.ece_after < 0.05 < fit.ece_before
    assert fit.nll_after < fit.nll_before
    assert not fit.at_bound


def test_a_large_half_is_fitted_on_a_part_and_judged_whole() -> None:
    fit = fit_on_half(*drawn(12_000, 8.0), seed=0)
    assert fit is not None
    assert (fit.n_fit, fit.n_test) == (5000, 6000)
    assert fit.temperature == pytest.approx(8.0, rel=0.1)


def test_a_model_that_is_always_right_is_at_the_bound() -> None:
    fit = fit_on_half(np.tile([1.0, 0.0], (20, 1)), np.zeros(20, dtype=np.int64), seed=0)
    assert fit is not None
    assert fit.at_bound
    assert fit.temperature == pytest.approx(0.001, rel=0.02)


def test_a_model_that_knows_nothing_is_at_a_bound() -> None:
    fit = fit_on_half(np.zeros((20, 3)), np.zeros(20, dtype=np.int64), seed=0)
    assert fit is not None
    assert fit.at_bound


def test_too_few_pictures_have_no_half() -> None:
    assert fit_on_half(np.eye(3), np.arange(3), seed=0) is None
    logits_NC, truth_N = np.full((9, 3), np.nan), np.zeros(9, dtype=np.int64)
    assert fit_on_half(logits_NC, truth_N, seed=0) is None
