import numpy as np
import pytest

from diagonal_eval.probes import sweep
from diagonal_eval.probes.logistic import Fit, Problem, fit, prepare_labels


@pytest.fixture
def problem() -> Problem:
    rng = np.random.default_rng(0)
    labels_N = np.arange(90) % 3
    features = rng.normal(size=(3, 6))[labels_N] + rng.normal(size=(90, 6))
    return prepare_labels(features.astype(np.float32), labels_N)


@pytest.mark.parametrize("best", [0, 3, 41, 56])
def test_the_search_finds_the_top_of_a_hill(problem: Problem, best: int) -> None:
    """The norm of the weights rises with C, so it tells which C a fit had."""
    norm = np.linalg.norm(fit(problem, sweep.c_at(best)).classifier.weight_DC)

    def score(found: Fit) -> float:
        return -abs(np.log(np.linalg.norm(found.classifier.weight_DC) / norm))

    found = sweep.choose_c(problem, score)
    assert found.c == pytest.approx(sweep.c_at(best), rel=0.4)
    assert len(found.tried) <= 15
    assert list(found.tried) == sorted(found.tried)
    assert found.tried[found.c] == max(found.tried.values())


def test_of_equal_scores_the_middle_one_is_chosen(problem: Problem) -> None:
    assert sweep.choose_c(problem, lambda _: 0.5).c == pytest.approx(1)
    assert sweep.best_step({0: 0.5, 16: 0.7, 32: 0.7, 48: 0.1}) == 16


def test_the_grid_has_eight_steps_per_decade() -> None:
    assert sweep.c_at(0) == 1e-6
    assert sweep.c_at(96) == pytest.approx(1e6)
    assert sweep.c_at(8) == pytest.approx(1e-5)


def test_every_class_is_held_out_by_the_same_share() -> None:
    labels_N = np.repeat([0, 1, 2, 3], [100, 10, 2, 1])
    held_out_N = sweep.validation_rows(labels_N)
    assert np.bincount(labels_N[held_out_N], minlength=4).tolist() == [20, 2, 0, 0]
    np.testing.assert_array_equal(held_out_N, sweep.validation_rows(labels_N))
