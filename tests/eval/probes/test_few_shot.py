import numpy as np
import pytest

from diagonal_eval.probes.few_shot import draw_shots, few_shot_curve, t_interval
from diagonal_eval.probes.logistic import LinearClassifier

LABELS = np.repeat([0, 1, 2], [40, 30, 3])


def features(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.eye(3, 12)[LABELS] * 3 + rng.normal(size=(len(LABELS), 12))


def accuracy(classifier: LinearClassifier) -> float:
    return float((classifier.scores(features(1)).argmax(axis=1) == LABELS).mean())


def test_a_class_with_too_few_gives_what_it_has_and_is_counted() -> None:
    curve = few_shot_curve(
        features(0), LABELS, shots=(1, 2, 8), seeds=(0, 1, 2), validate=accuracy, test=accuracy
    )
    assert [(point.shots, point.samples, point.short_classes) for point in curve] == [
        (1, 3, 0),
        (2, 6, 0),
        (8, 19, 1),
    ]
    assert curve[-1].mean > curve[0].mean
    assert all(low <= p.mean <= high for p in curve for low, high in [p.interval])
    assert curve[-1].mean > 0.8


def test_the_same_seeds_give_the_same_curve() -> None:
    first, again = (
        few_shot_curve(
            features(0), LABELS, shots=(1, 4), seeds=(5, 6), validate=accuracy, test=accuracy
        )
        for _ in range(2)
    )
    assert first == again


def test_draws_are_nested_and_differ_by_seed() -> None:
    four, two = draw_shots(LABELS, 4, 0), draw_shots(LABELS, 2, 0)
    assert set(two) < set(four)
    assert np.bincount(LABELS[four]).tolist() == [4, 4, 3]
    assert set(draw_shots(LABELS, 4, 1)) != set(four)


def test_the_interval_is_students() -> None:
    low, high = t_interval([0.5, 0.6, 0.7])
    assert (low + high) / 2 == pytest.approx(0.6)
    assert high - low == pytest.approx(2 * 4.303 * 0.1 / np.sqrt(3), rel=1e-6)
    assert t_interval([0.5]) == (0.0, 1.0)
    assert t_interval([0.1, 0.9, 0.5])[0] == 0.0
