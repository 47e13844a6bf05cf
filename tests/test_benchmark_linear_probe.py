"""What the benchmark of the linear probe writes; the timing is `make bench WHAT=linear_probe`."""

import numpy as np
import pytest

import linear_probe

WHEN = {"date": "2026-11-23", "code_revision": "0123456789abcdef"}


def run(cpu: float, objective: float, accuracy: float) -> dict[str, float]:
    times = {"cpu_seconds": cpu, "wall_seconds": cpu, "iterations": 9}
    return times | {"objective": objective, "accuracy": accuracy}


def page(ours: dict[str, float]) -> str:
    first, second, *_ = linear_probe.PEERS
    found = {"diagonal": ours, first: run(6.0, 101.0, 0.5), second: run(9.0, 100.0, 0.61)}
    row = WHEN | {"classes": 100, "at": {"0.1": found}}
    versions = {"python": "3.11"}
    return linear_probe.as_markdown(
        {"rows": {"a": row}, "machine": "two cores", "versions": versions}
    )


def test_time_is_against_the_quickest_and_accuracy_against_the_most_exact() -> None:
    text = page(run(2.0, 100.0, 0.6095))
    assert "| 6.00 (lbfgs fp32) | 2.00 | 3.0 × | ≥ 3 × | met |" in text
    assert "| 61.00% | 60.95% | -0.05 points | within 0.1 | met |" in text
    assert "1.0e-02" in text


def test_a_goal_that_is_missed_is_said() -> None:
    assert page(run(3.0, 100.0, 0.60)).count("**not met**") == 2


@pytest.mark.parametrize("program", ["diagonal", *linear_probe.PEERS])
def test_every_program_fits(program: str) -> None:
    rng = np.random.default_rng(0)
    labels_N = np.arange(120) % 3
    features = (np.eye(3, 5)[labels_N] + rng.normal(size=(120, 5))).astype(np.float32)
    fit = linear_probe.fit_ours if program == "diagonal" else linear_probe.fit_peer
    options = linear_probe.PEERS.get(program, {})
    weight_DC, intercept_C, iterations = fit(features, labels_N, 1.0, **options)
    reached = linear_probe.objective(weight_DC, intercept_C, features, labels_N, 1.0)
    exact = linear_probe.fit_peer(features, labels_N, 1.0, solver="newton-cholesky", tol=1e-9)
    least = linear_probe.objective(*exact[:2], features, labels_N, 1.0)
    assert reached == pytest.approx(least, rel=1e-4)
    assert iterations > 0
