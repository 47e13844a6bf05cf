"""Limited-memory BFGS (Nocedal and Wright, 2006, algorithm 7.5) with a diagonal preconditioner.

The two-loop recursion starts from a diagonal that the objective knows instead of the identity,
scaled so that it fits the last step. A unit step then nearly always does: one evaluation per
iteration. Vectors are fp64, however roughly the objective is computed.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

HISTORY = 10
"""Pairs of steps and changes of gradient that are kept, as scipy does."""
SUFFICIENT_DECREASE = 1e-4
MAX_TRIALS = 20
"""Step lengths tried along one direction before rounding is taken to forbid any progress."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """An objective at one place."""

    place: Tensor
    value: float
    gradient: Tensor


@dataclass(frozen=True, kw_only=True)
class Minimum:
    """Where the search ended."""

    point: Point
    iterations: int
    evaluations: int
    converged: bool
    """Whether the estimated rest came below the tolerance before the iterations ran out."""


@dataclass(frozen=True, kw_only=True)
class _Pair:
    step: Tensor
    change: Tensor
    product: float


def minimise(
    evaluate: Callable[[Tensor], Point],
    start: Tensor,
    curvature: Tensor,
    *,
    max_iterations: int,
    tolerance: float,
    noise: float,
) -> Minimum:
    """The minimum of a convex function.

    Args:
        evaluate: the function.
        start: fp64.
        curvature: approximate diagonal of the Hessian up to a factor, above zero.
        max_iterations: bounds the search.
        tolerance: end when half of g·H⁻¹g, the estimated height above the minimum, is this small
            beside the value, or less than the noise.
        noise: rounding error of the values; a step may rise by it.
    """
    point, evaluations = evaluate(start), 1
    pairs: deque[_Pair] = deque(maxlen=HISTORY)
    for iteration in range(max_iterations):
        direction = -_inverse_times(point.gradient, curvature, pairs)
        slope = _dot(direction, point.gradient)
        if -slope / 2 <= max(tolerance * abs(point.value), noise):
            return _ended(point, iteration, evaluations, converged=True)
        found, trials = _search(evaluate, point, direction, slope, noise)
        evaluations += trials
        if found is None:
            # The direction is downhill, so what is left is smaller than rounding.
            return _ended(point, iteration, evaluations, converged=True)
        step, change = found.place - point.place, found.gradient - point.gradient
        product = _dot(step, change)
        # Rounding can hide the convexity of a short step.
        if product > torch.finfo(torch.float64).eps * float(change.square().sum()):
            pairs.append(_Pair(step=step, change=change, product=product))
        point = found
    return _ended(point, max_iterations, evaluations, converged=False)


def _ended(point: Point, iterations: int, evaluations: int, *, converged: bool) -> Minimum:
    return Minimum(point=point, iterations=iterations, evaluations=evaluations, converged=converged)


def _search(
    evaluate: Callable[[Tensor], Point],
    point: Point,
    direction: Tensor,
    slope: float,
    allowance: float,
) -> tuple[Point | None, int]:
    """The first of ever shorter steps that descends enough, and how many were tried."""
    length = 1.0
    for trial in range(1, MAX_TRIALS + 1):
        found = evaluate(point.place + length * direction)
        if found.value <= point.value + SUFFICIENT_DECREASE * length * slope + allowance:
            return found, trial
        # Where the slopes at both ends, taken for a straight line, cross zero.
        end_slope = _dot(found.gradient, direction)
        crossing = slope / (slope - end_slope) if end_slope > slope else 0.5
        length *= min(max(crossing, 0.1), 0.5)
    return None, MAX_TRIALS


def _inverse_times(gradient: Tensor, curvature: Tensor, pairs: deque[_Pair]) -> Tensor:
    """H⁻¹g by the two-loop recursion."""
    vector, shares = gradient.clone(), []
    for pair in reversed(pairs):
        share = _dot(pair.step, vector) / pair.product
        vector.sub_(pair.change, alpha=share)
        shares.append(share)
    vector /= curvature
    if pairs:
        last = pairs[-1]
        vector *= last.product / float((last.change.square() / curvature).sum())
    for pair, share in zip(pairs, reversed(shares), strict=True):
        vector.add_(pair.step, alpha=share - _dot(pair.change, vector) / pair.product)
    return vector


def _dot(left: Tensor, right: Tensor) -> float:
    return float(torch.dot(left.flatten(), right.flatten()))
