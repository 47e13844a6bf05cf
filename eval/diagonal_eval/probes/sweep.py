"""The choice of C as in the CLIP paper (Radford et al., 2021, appendix A.3).

96 steps from 1e-6 to 1e6, 8 in each decade. Every second decade is tried first, then the middles
beside the best one, until the neighbours of the best are known: at most 15 fits in place of 97.
Each starts from the fit of the nearest C. Of several Cs that are equally good the middle one
counts: with the smallest, the intercept may decide alone as soon as classes differ in size.

Shape suffixes: N samples.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diagonal_eval.probes.logistic import Fit, Problem, fit

STEPS = 96
FIRST_STRIDE = 16
LOWEST, HIGHEST = 1e-6, 1e6
VALIDATION_SHARE = 0.2


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What every C that was tried gave on the validation split, by rising C."""

    c: float
    """The best."""
    tried: dict[float, float]
    fit: Fit
    """To the training split, with the best C."""


def choose_c(
    problem: Problem, score: Callable[[Fit], float], *, max_iterations: int = 1000
) -> Sweep:
    """The best C by the coarse-to-fine search.

    Args:
        problem: the training split.
        score: of a fit on the validation split, higher is better.
        max_iterations: of each fit.
    """
    fits: dict[int, Fit] = {}
    scores: dict[int, float] = {}

    def attempt(step: int) -> None:
        if step in fits or not 0 <= step <= STEPS:
            return
        nearest = min(fits, key=lambda other: abs(other - step), default=None)
        start = None if nearest is None else fits[nearest]
        fits[step] = fit(problem, c_at(step), start=start, max_iterations=max_iterations)
        scores[step] = score(fits[step])

    for step in range(0, STEPS + 1, FIRST_STRIDE):
        attempt(step)
    stride = FIRST_STRIDE // 2
    while stride >= 1:
        best = best_step(scores)
        attempt(best - stride)
        attempt(best + stride)
        stride //= 2
    best = best_step(scores)
    tried = {c_at(step): scores[step] for step in sorted(scores)}
    return Sweep(c=c_at(best), tried=tried, fit=fits[best])


def best_step(scores: dict[int, float]) -> int:
    """The step of the highest score; of equals the middle one."""
    most = max(scores.values())
    equals = sorted(step for step, score in scores.items() if score == most)
    return equals[(len(equals) - 1) // 2]


def c_at(step: int) -> float:
    """The C of a step of the grid."""
    return float(LOWEST * (HIGHEST / LOWEST) ** (step / STEPS))


def validation_rows(
    labels_N: NDArray[np.int64], *, share: float = VALIDATION_SHARE, seed: int = 0
) -> NDArray[np.bool_]:
    """Which samples are held out: the same share of every class, to the nearest sample.

    Each class keeps at least one sample for training, so a class of one sample is not validated.
    """
    rng = np.random.default_rng(seed)
    held_out_N = np.zeros(len(labels_N), dtype=np.bool_)
    for label in np.unique(labels_N):
        rows = rng.permutation(np.flatnonzero(labels_N == label))
        held_out_N[rows[: min(round(share * len(rows)), len(rows) - 1)]] = True
    return held_out_N
