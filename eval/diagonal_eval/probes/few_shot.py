"""Accuracy with few labelled pictures of each class, over several draws.

The draws are nested: the 4 shots of a seed begin with its 2. A class with fewer pictures gives what
it has, and is counted. For every number of shots C is chosen with the first seed's draw, on the
validation split that the full probe has too (as in the CLIP paper), and kept for the other seeds.

The interval is Student's t over the seeds: it says how far another draw of shots may lie, not
another test set.

Shape suffixes: N samples, D features, C classes, S seeds.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from diagonal_eval.intervals import Interval
from diagonal_eval.probes.logistic import LinearClassifier, fit, prepare_labels
from diagonal_eval.probes.sweep import choose_c

T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Student's t at 97.5 % for 1 to 9 degrees of freedom; more seeds are given the last."""
Score = Callable[[LinearClassifier], float]


@dataclass(frozen=True, kw_only=True)
class Shots:
    """What a number of shots per class gave."""

    shots: int
    c: float
    samples: int
    """Of one draw."""
    short_classes: int
    """Classes with fewer pictures than shots."""
    accuracies_S: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return float(np.mean(self.accuracies_S))

    @property
    def interval(self) -> Interval:
        """95 % interval of the mean; of one seed nothing is known: all of [0, 1]."""
        return t_interval(self.accuracies_S)


def few_shot_curve(
    features_ND: NDArray[np.floating],
    labels_N: NDArray[np.int64],
    *,
    shots: Sequence[int],
    seeds: Sequence[int],
    validate: Score,
    test: Score,
    max_iterations: int = 1000,
    device: torch.device | str = "cpu",
) -> list[Shots]:
    """One entry per number of shots.

    Args:
        features_ND: of the training split, without the pictures that `validate` looks at.
        labels_N: 0, 1, 2 …, each with a sample.
        shots: pictures per class.
        seeds: one draw each.
        validate: decides on C.
        test: is reported.
        max_iterations: of each fit.
        device: that computes.
    """
    counts_C = np.bincount(labels_N)
    curve = []
    for number in shots:
        c, accuracies, samples = None, [], 0
        for seed in seeds:
            rows = draw_shots(labels_N, number, seed)
            problem = prepare_labels(features_ND[rows], labels_N[rows], device=device)
            if c is None:
                found = choose_c(
                    problem, lambda f: validate(f.classifier), max_iterations=max_iterations
                )
                c, best = found.c, found.fit
            else:
                best = fit(problem, c, max_iterations=max_iterations)
            accuracies.append(test(best.classifier))
            samples = len(rows)
        assert c is not None, "no seeds"
        curve.append(
            Shots(
                shots=number,
                c=c,
                samples=samples,
                short_classes=int((counts_C < number).sum()),
                accuracies_S=tuple(accuracies),
            )
        )
    return curve


def draw_shots(labels_N: NDArray[np.int64], shots: int, seed: int) -> NDArray[np.int64]:
    """Rows of the first `shots` of each class in the seed's order, or all if there are fewer."""
    rng = np.random.default_rng(seed)
    order_N = rng.permutation(len(labels_N))
    drawn = [order_N[labels_N[order_N] == label][:shots] for label in np.unique(labels_N)]
    return np.sort(np.concatenate(drawn))


def t_interval(values: Sequence[float]) -> Interval:
    """95 % interval of the mean of shares, cut to [0, 1]."""
    n = len(values)
    if n < 2:
        return 0.0, 1.0
    mean = float(np.mean(values))
    half = T_95[min(n - 1, len(T_95)) - 1] * float(np.std(values, ddof=1)) / math.sqrt(n)
    return max(0.0, mean - half), min(1.0, mean + half)
