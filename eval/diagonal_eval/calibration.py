"""Whether a model's confidence can be believed: all of it for one task, and its record.

    ece            mean |accuracy − confidence| over 15 bins of equal width (Guo et al., 2017)
    adaptive_ece   the same over bins of equal mass (Nixon et al., 2019)
    brier          mean squared distance to the truth over all classes (Brier, 1950): 0 to 2
    nll            mean −log of the right class's probability
    aurc           mean error of the k most confident answers, over all k (Geifman et al., 2019)
    temperature    temperature.py

Shape suffixes: N pictures, C classes.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diagonal_eval.calibration_error import (
    NUM_BINS,
    ReliabilityBin,
    RiskCoverage,
    adaptive_calibration_error,
    answers_for,
    ece_interval,
    expected_calibration_error,
    reliability_bins,
    risk_coverage,
)
from diagonal_eval.intervals import Interval, Rate
from diagonal_eval.temperature import TemperatureFit, fit_on_half


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Calibration of one task."""

    n: int
    excluded: int
    """Pictures whose logits are not finite; they are in none of the numbers."""
    accuracy: Rate
    confidence: float
    ece: float
    ece_interval: Interval
    adaptive_ece: float
    brier: float
    nll: float
    bins: tuple[ReliabilityBin, ...]
    risk_coverage: RiskCoverage
    temperature: TemperatureFit | None
    """None with fewer than four pictures."""


def measure_calibration(
    logits_NC: NDArray[np.floating],
    truth_N: NDArray[np.int64],
    *,
    seed: int,
    resamples: int = 1000,
    num_bins: int = NUM_BINS,
) -> Calibration | None:
    """None if there is nothing to measure: fewer than two classes, or no picture with logits.

    Args:
        logits_NC: at the model's own logit scale; cosines alone are far too flat.
        truth_N: the right classes.
        seed: draws the bootstrap and the half that the temperature is fitted on.
        resamples: of the bootstrap behind the interval of the ECE.
        num_bins: of the reliability diagram and both calibration errors.
    """
    answers = answers_for(logits_NC, truth_N)
    confidence_N, correct_N = answers.confidence_N, answers.correct_N
    if len(correct_N) == 0 or logits_NC.shape[1] < 2:
        return None
    return Calibration(
        n=len(correct_N),
        excluded=answers.excluded,
        accuracy=Rate(successes=int(correct_N.sum()), n=len(correct_N)),
        confidence=float(confidence_N.mean()),
        ece=expected_calibration_error(confidence_N, correct_N, num_bins),
        ece_interval=ece_interval(
            confidence_N, correct_N, seed=seed, resamples=resamples, num_bins=num_bins
        ),
        adaptive_ece=adaptive_calibration_error(confidence_N, correct_N, num_bins),
        brier=float(answers.brier_N.mean()),
        nll=float(answers.nll_N.mean()),
        bins=reliability_bins(confidence_N, correct_N, num_bins),
        risk_coverage=risk_coverage(confidence_N, correct_N),
        temperature=fit_on_half(logits_NC, truth_N, seed=seed, num_bins=num_bins),
    )


def calibration_record(calibration: Calibration | None) -> dict[str, Any]:
    """The `calibration` of a task in results.json; without a measurement n is 0 and says why."""
    if calibration is None:
        return {"n": 0, "ece": None, "bins": [], "note": "needs two classes and finite logits"}
    fit = calibration.temperature
    return {
        "n": calibration.n,
        "excluded": calibration.excluded,
        "acc1": calibration.accuracy.value,
        "confidence": calibration.confidence,
        "ece": calibration.ece,
        "ece_ci95": list(calibration.ece_interval),
        "adaptive_ece": calibration.adaptive_ece,
        "brier": calibration.brier,
        "nll": calibration.nll,
        "bins": [_bin_record(one) for one in calibration.bins],
        "risk_coverage": {
            "aurc": calibration.risk_coverage.aurc,
            "best_aurc": calibration.risk_coverage.best_aurc,
            "coverage": list(calibration.risk_coverage.coverage),
            "risk": list(calibration.risk_coverage.risk),
        },
        "temperature": None if fit is None else asdict(fit),
    }


def _bin_record(one: ReliabilityBin) -> dict[str, Any]:
    accuracy = one.accuracy
    return {
        "low": one.low,
        "high": one.high,
        "n": accuracy.n,
        "confidence": one.confidence,
        "accuracy": accuracy.value if accuracy.n else None,
        "ci95": list(accuracy.interval),
    }
