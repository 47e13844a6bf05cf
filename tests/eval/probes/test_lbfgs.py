from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from diagonal_eval.probes.lbfgs import Point, minimise

SCALE = torch.logspace(-2, 2, 30, dtype=torch.float64)
LOWEST = torch.linspace(-1, 1, 30, dtype=torch.float64)
LIMITS: dict[str, Any] = {"max_iterations": 500, "tolerance": 1e-14, "noise": 0.0}


def quadratic(scale: Tensor, lowest: Tensor) -> Callable[[Tensor], Point]:
    def evaluate(place: Tensor) -> Point:
        off = place - lowest
        value = 1 + float((scale * off * off).sum()) / 2
        return Point(place=place, value=value, gradient=scale * off)

    return evaluate


def hyperbolic(place: Tensor) -> Point:
    return Point(place=place, value=float(place.cosh().sum()), gradient=place.sinh())


def test_with_the_hessians_diagonal_one_step_reaches_the_bottom() -> None:
    found = minimise(quadratic(SCALE, LOWEST), torch.zeros_like(SCALE), SCALE, **LIMITS)
    assert found.iterations == 1
    torch.testing.assert_close(found.point.place, LOWEST)


def test_without_it_the_bottom_is_reached_too() -> None:
    flat = torch.ones_like(SCALE)
    found = minimise(quadratic(SCALE, LOWEST), torch.zeros_like(SCALE), flat, **LIMITS)
    assert found.point.value == pytest.approx(1, abs=1e-6)
    assert found.iterations > 10


def test_a_step_that_is_too_long_is_cut() -> None:
    start, too_flat = (torch.full((2,), x, dtype=torch.float64) for x in (3.0, 0.1))
    found = minimise(hyperbolic, start, too_flat, **LIMITS)
    assert found.evaluations > found.iterations + 1
    assert found.point.value == pytest.approx(2)


def test_the_search_ends_where_rounding_allows_no_descent() -> None:
    def rough(place: Tensor) -> Point:
        point = hyperbolic(place)
        return Point(place=place, value=round(point.value, 3), gradient=point.gradient)

    start = torch.full((2,), 0.01, dtype=torch.float64)
    found = minimise(rough, start, torch.ones_like(start), **LIMITS)
    assert found.converged
    assert found.point.value == 2
