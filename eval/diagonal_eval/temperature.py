"""The temperature at which a model's confidences would fit best (Guo et al., 2017).

Logits are divided by it. It is fitted by the mean NLL, which is convex in the inverse temperature,
on one half of the pictures and judged on the other half: errors before and after come from
pictures that the fit never saw. No ranking changes, so no accuracy does.

Shape suffixes: N pictures, C classes.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diagonal_eval.calibration_error import (
    CHUNK_ROWS,
    NUM_BINS,
    answers_for,
    expected_calibration_error,
    log_softmax,
)

LEAST, MOST = 1e-3, 1e3
"""Bounds of the temperature. A model that is always right, or knows nothing, has none between."""
FIT_AT_MOST = 5000
"""Pictures of the half; one number needs no more, and each step reads all their logits."""
STEPS = 60
CLOSE = 1e-7
"""Relative width of the bracket at which the search ends."""


@dataclass(frozen=True, kw_only=True)
class TemperatureFit:
    """A temperature fitted on one half, and what it does to the other half."""

    temperature: float
    at_bound: bool
    """The NLL still falls at the end of the range that was searched: the number is that end."""
    n_fit: int
    n_test: int
    ece_before: float
    ece_after: float
    nll_before: float
    nll_after: float


def fit_temperature(logits_NC: NDArray[np.floating], truth_N: NDArray[np.int64]) -> float:
    """The temperature in [0.001, 1000] with the least mean NLL; finite logits only.

    Newton's steps on the inverse temperature, inside a bracket that each step narrows.
    """
    if len(truth_N) == 0:
        raise ValueError("no answers to fit a temperature to")
    low, high = 1 / MOST, 1 / LEAST
    if _nll_derivatives(logits_NC, truth_N, high)[0] <= 0:
        return LEAST
    if _nll_derivatives(logits_NC, truth_N, low)[0] >= 0:
        return MOST
    inverse, moved = 1.0, math.inf
    for _ in range(STEPS):
        slope, curvature = _nll_derivatives(logits_NC, truth_N, inverse)
        low, high = (inverse, high) if slope < 0 else (low, inverse)
        closer = inverse - slope / curvature if curvature > 0 else math.inf
        # Where the NLL has almost ceased to fall, Newton's steps are short and of equal length.
        if not (low < closer < high and abs(closer - inverse) < moved / 2):
            closer = math.sqrt(low * high)
        moved, inverse = abs(closer - inverse), closer
        if moved < CLOSE * inverse:
            break
    return 1 / inverse


def fit_on_half(
    logits_NC: NDArray[np.floating],
    truth_N: NDArray[np.int64],
    *,
    seed: int,
    num_bins: int = NUM_BINS,
) -> TemperatureFit | None:
    """Fit on a random half of the pictures with finite logits, judge on the rest.

    None with fewer than four such pictures, or fewer than two classes.
    """
    usable = np.flatnonzero(np.isfinite(logits_NC).all(axis=1))
    if len(usable) < 4 or logits_NC.shape[1] < 2:
        return None
    mixed = np.random.default_rng(seed).permutation(usable)
    fit = np.sort(mixed[: min(len(mixed) // 2, FIT_AT_MOST)])
    test = np.sort(mixed[len(mixed) // 2 :])
    temperature = fit_temperature(logits_NC[fit], truth_N[fit])
    before = answers_for(logits_NC[test].astype(np.float64), truth_N[test])
    after = answers_for(logits_NC[test].astype(np.float64) / temperature, truth_N[test])
    return TemperatureFit(
        temperature=temperature,
        at_bound=not LEAST < temperature < MOST,
        n_fit=len(fit),
        n_test=len(test),
        ece_before=expected_calibration_error(before.confidence_N, before.correct_N, num_bins),
        ece_after=expected_calibration_error(after.confidence_N, after.correct_N, num_bins),
        nll_before=float(before.nll_N.mean()),
        nll_after=float(after.nll_N.mean()),
    )


def _nll_derivatives(
    logits_NC: NDArray[np.floating], truth_N: NDArray[np.int64], inverse: float
) -> tuple[float, float]:
    """First and second derivative of the mean NLL by the inverse temperature."""
    slope = curvature = 0.0
    for start in range(0, len(truth_N), CHUNK_ROWS):
        rows_NC = logits_NC[start : start + CHUNK_ROWS].astype(np.float64)
        own_N1 = np.take_along_axis(rows_NC, truth_N[start : start + CHUNK_ROWS, None], axis=1)
        above_own_NC = rows_NC - own_N1
        weights_NC = np.exp(log_softmax(rows_NC * inverse))
        mean_N = (weights_NC * above_own_NC).sum(axis=1)
        slope += float(mean_N.sum())
        curvature += float(((weights_NC * above_own_NC**2).sum(axis=1) - mean_N**2).sum())
    return slope / len(truth_N), curvature / len(truth_N)
