"""Accuracy on shifted sets: relative to the reference, and above what other models would have.

    relative    shifted / reference accuracy; needs no other model
    effective   shifted accuracy − what models of the same reference accuracy have on the shift
                (Taori et al., 2020, arXiv:2007.00644): a line through baseline models, on the
                logit scale, or the probit scale of Miller et al. (2021, arXiv:2107.04649)

A line needs two baselines, and three to know its own error. An accuracy of 0 or 1 has no logit:
two successes and two failures are added to it (Agresti and Coull, 1998), and a note says so; if
its n is unknown, the baseline is left out.

Shape suffixes: B baselines, R draws.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from diagonal_eval.intervals import Interval, Rate

Link = Literal["logit", "probit"]
Doubles = NDArray[np.float64]
DRAWS = 10_000
LEAST_BASELINES = 2
NORMAL = NormalDist()
LINKS: dict[Link, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "logit": (lambda p: math.log(p / (1 - p)), lambda y: 0.5 * (1 + math.tanh(y / 2))),
    "probit": (NORMAL.inv_cdf, NORMAL.cdf),
}
"""To the line's scale and back."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """Another model's accuracies, from 0 to 1; n is 0 where it is not known."""

    name: str
    reference: float
    shifted: float
    reference_n: int = 0
    shifted_n: int = 0

    def __post_init__(self) -> None:
        for what, value in (("reference", self.reference), ("shifted", self.shifted)):
            if not 0 <= value <= 1:
                raise ValueError(f"{self.name}: {what} accuracy must be in 0–1, got {value}")


@dataclass(frozen=True, kw_only=True)
class Line:
    """Shifted on reference accuracy of the baselines, both on the scale of the link."""

    link: Link
    slope: float
    intercept: float
    num_baselines: int
    r2: float | None
    """None with two baselines: any line goes through them."""
    residual_std: float | None
    """On the link's scale, with n − 2 degrees of freedom; None with two baselines."""
    mean_x: float
    spread_x: float
    """Sum of squared distances from `mean_x`."""
    range: Interval
    """Of the baselines' reference accuracies."""
    notes: tuple[str, ...]

    def predict(self, reference: float) -> float:
        """Shifted accuracy that the baselines lead one to expect."""
        forward, back = LINKS[self.link]
        return back(self.intercept + self.slope * forward(reference))


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """One number of one shift, with what is to be said of it."""

    value: float
    interval: Interval
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EffectiveRobustness(Robustness):
    """The model's residual from the baselines' line."""

    predicted: float


def fit_line(baselines: Sequence[Baseline], link: Link = "logit") -> Line | str:
    """Least squares through the baselines; in place of a line, why there is none."""
    forward, _ = LINKS[link]
    points, notes = [], []
    for baseline in baselines:
        x, y = (
            _inside(baseline.reference, baseline.reference_n),
            _inside(baseline.shifted, baseline.shifted_n),
        )
        if x is None or y is None:
            notes.append(f"{baseline.name} left out: accuracy 0 or 1 of unknown n has no {link}")
            continue
        if (x, y) != (baseline.reference, baseline.shifted):
            notes.append(f"{baseline.name}: accuracy 0 or 1 shrunk by Agresti and Coull")
        points.append((forward(x), forward(y), x))
    if len(points) < LEAST_BASELINES:
        return f"{len(points)} usable baselines; a line needs at least {LEAST_BASELINES}"
    x_B, y_B, accuracy_B = np.array(points).T
    spread_x = float(((x_B - x_B.mean()) ** 2).sum())
    if spread_x < 1e-12:
        return "all baselines have one reference accuracy, so no line goes through them"
    slope = float(((x_B - x_B.mean()) * (y_B - y_B.mean())).sum() / spread_x)
    intercept = float(y_B.mean() - slope * x_B.mean())
    squares = float(((y_B - intercept - slope * x_B) ** 2).sum())
    total, free = float(((y_B - y_B.mean()) ** 2).sum()), len(points) - 2
    if not free:
        notes.append("two baselines only: the interval leaves out the error of the line")
    return Line(
        link=link,
        slope=slope,
        intercept=intercept,
        num_baselines=len(points),
        r2=1 - squares / total if free and total > 0 else None,
        residual_std=math.sqrt(squares / free) if free else None,
        mean_x=float(x_B.mean()),
        spread_x=spread_x,
        range=(float(accuracy_B.min()), float(accuracy_B.max())),
        notes=tuple(notes),
    )


def effective_robustness(
    line: Line, reference: Rate, shifted: Rate, *, seed: int, draws: int = DRAWS
) -> EffectiveRobustness | None:
    """The residual, with an interval over both accuracies and the line; None if one has n = 0.

    Accuracies are drawn from their posteriors with Jeffreys' prior, the line's place at this
    reference accuracy from its t distribution.
    """
    if not (reference.n and shifted.n):
        return None
    notes = list(line.notes)
    if reference.value in (0.0, 1.0):
        notes.append("reference accuracy of 0 or 1 shrunk by Agresti and Coull")
    if not line.range[0] <= reference.value <= line.range[1]:
        notes.append("extrapolated: no baseline is as low or as high on the reference")
    inside = _inside(reference.value, reference.n)
    assert inside is not None, "n is known"
    rng = np.random.default_rng(seed)
    forward, back = LINKS[line.link]
    x_R = np.array([forward(p) for p in draw_rate(reference, rng, draws)])
    y_R = line.intercept + line.slope * x_R
    if line.residual_std is not None:
        error_R = np.sqrt(1 / line.num_baselines + (x_R - line.mean_x) ** 2 / line.spread_x)
        y_R += line.residual_std * error_R * rng.standard_t(line.num_baselines - 2, draws)
    predicted_R = np.array([back(y) for y in y_R])
    predicted = line.predict(inside)
    return EffectiveRobustness(
        value=shifted.value - predicted,
        interval=_quantiles(draw_rate(shifted, rng, draws) - predicted_R),
        notes=tuple(notes),
        predicted=predicted,
    )


def relative_robustness(
    reference: Rate, shifted: Rate, *, seed: int, draws: int = DRAWS
) -> Robustness | None:
    """Shifted over reference accuracy; None if the reference is 0 or one of them has n = 0."""
    return mean_relative_robustness([(reference, shifted)], seed=seed, draws=draws)


def mean_relative_robustness(
    pairs: Sequence[tuple[Rate, Rate]], *, seed: int, draws: int = DRAWS
) -> Robustness | None:
    """Mean over (reference, shifted) of several shifts; None unless every one has a ratio.

    Equal references are drawn once, because they are the same pictures.
    """
    if not pairs or any(not (ref.successes and shifted.n) for ref, shifted in pairs):
        return None
    rng = np.random.default_rng(seed)
    drawn_of = {reference: draw_rate(reference, rng, draws) for reference, _ in pairs}
    ratios_R = [draw_rate(shifted, rng, draws) / drawn_of[ref] for ref, shifted in pairs]
    return Robustness(
        value=float(np.mean([shifted.value / reference.value for reference, shifted in pairs])),
        interval=_quantiles(np.mean(ratios_R, axis=0)),
    )


def draw_rate(rate: Rate, rng: np.random.Generator, draws: int) -> Doubles:
    """The share behind a rate, from its posterior with Jeffreys' prior; never exactly 0 or 1."""
    drawn_R = rng.beta(rate.successes + 0.5, rate.n - rate.successes + 0.5, draws)
    return np.clip(drawn_R, 1e-12, 1 - 1e-12)


def _inside(accuracy: float, n: int) -> float | None:
    """The accuracy, shrunk if it is 0 or 1; None if that takes an n that is not known."""
    if 0 < accuracy < 1:
        return accuracy
    return (accuracy * n + 2) / (n + 4) if n else None


def _quantiles(drawn_R: Doubles) -> Interval:
    low, high = np.quantile(drawn_R, [0.025, 0.975])
    return float(low), float(high)
