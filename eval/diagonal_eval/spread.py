"""How far accuracies of the same pictures under several conditions lie apart: prompts, skin tones.

Conditions that are all alike still differ by chance: `by_chance` is how far, with the answers to
each picture shuffled over the conditions, and `p` how often at least as far.

Shape suffixes: T conditions, N pictures (`mixed`: those with unlike answers), R resamples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diagonal_eval.intervals import Interval

AT_ONCE = 100
"""Resamples in memory."""
NORMAL_FROM = 500
"""Pictures with unlike answers, from which on sums are drawn in place of answers."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Of the accuracies of one set of pictures under several conditions."""

    n: int
    num_conditions: int
    best: str
    worst: str
    spread: float
    """Of the best minus of the worst."""
    spread_interval: Interval
    std: float
    """Standard deviation of the accuracies, over the conditions."""
    std_interval: Interval
    by_chance: float
    p: float


def paired_spread(
    correct_TN: NDArray[np.bool_], conditions: Sequence[str], *, seed: int, resamples: int = 1000
) -> Spread:
    """Spread with bootstrap intervals over the pictures; needs two conditions.

    Raises:
        ValueError: fewer than two conditions, no pictures, or rows that are not the conditions'.
    """
    num_conditions, n = correct_TN.shape
    if num_conditions < 2 or n == 0 or num_conditions != len(conditions):
        shape = correct_TN.shape
        raise ValueError(f"no spread of {len(conditions)} conditions over answers {shape}")
    assert correct_TN.dtype == np.bool_, "answers are right or wrong; NaN would be neither"
    rng = np.random.default_rng(seed)
    accuracy_T = correct_TN.mean(axis=1)
    right_N = correct_TN.sum(axis=0)
    # All others move every accuracy alike.
    mixed_NT = correct_TN.T[(right_N > 0) & (right_N < num_conditions)].astype(np.float64)
    drawn_RT = _resampled(mixed_NT, n, rng, resamples)
    shuffled_R = np.ptp(_shuffled(mixed_NT, n, rng, resamples), axis=1)
    spread, std = float(np.ptp(accuracy_T)), float(accuracy_T.std(ddof=1))
    # A hair is allowed for: sums of the same answers in another order may differ in the last bit.
    p = (int((shuffled_R >= spread - 1e-12).sum()) + 1) / (resamples + 1)
    is_chance = p > 0.025
    return Spread(
        n=n,
        num_conditions=num_conditions,
        best=conditions[int(accuracy_T.argmax())],
        worst=conditions[int(accuracy_T.argmin())],
        spread=spread,
        spread_interval=_interval(spread, np.ptp(drawn_RT, axis=1), is_chance=is_chance),
        std=std,
        std_interval=_interval(std, drawn_RT.std(axis=1, ddof=1), is_chance=is_chance),
        by_chance=float(shuffled_R.mean()),
        p=p,
    )


def spread_record(spread: Spread) -> dict[str, Any]:
    """For a task's record in results.json."""
    return {
        "n": spread.n,
        "conditions": spread.num_conditions,
        "best": spread.best,
        "worst": spread.worst,
        "spread": spread.spread,
        "spread_ci95": list(spread.spread_interval),
        "std": spread.std,
        "std_ci95": list(spread.std_interval),
        "by_chance": spread.by_chance,
        "p": spread.p,
    }


def _resampled(
    mixed_NT: NDArray[np.float64], n: int, rng: np.random.Generator, resamples: int
) -> NDArray[np.float64]:
    """Accuracies in resamples of all n pictures, but for what all conditions have in common."""
    num_mixed = len(mixed_NT)
    shares = [*[1 / n] * num_mixed, 1 - num_mixed / n]
    drawn = [
        rng.multinomial(n, shares, min(AT_ONCE, resamples - done))[:, :num_mixed] @ mixed_NT
        for done in range(0, resamples, AT_ONCE)
    ]
    return np.concatenate(drawn) / n


def _shuffled(
    mixed_NT: NDArray[np.float64], n: int, rng: np.random.Generator, resamples: int
) -> NDArray[np.float64]:
    """Accuracies with each picture's answers dealt out anew over the conditions.

    Of many pictures only the sums are drawn: they are normal, and how each picture's answers go
    together is known. Their common part is left out.
    """
    num_mixed, num_conditions = mixed_NT.shape
    if num_mixed < NORMAL_FROM:
        sums = [rng.permuted(mixed_NT, axis=1).sum(axis=0) for _ in range(resamples)]
        return np.array(sums) / n
    share_N = mixed_NT.mean(axis=1)
    variance = (share_N * (1 - share_N)).sum() * num_conditions / (num_conditions - 1)
    return rng.standard_normal((resamples, num_conditions)) * np.sqrt(variance) / n


def _interval(value: float, drawn_R: NDArray[np.float64], *, is_chance: bool) -> Interval:
    """Reversed, because resamples spread further than the pictures did; from 0 if it is chance."""
    low, high = np.quantile(drawn_R, [0.025, 0.975])
    begins = 0.0 if is_chance else max(0.0, float(2 * value - high))
    return begins, min(1.0, value + max(value - float(low), float(high) - value))
