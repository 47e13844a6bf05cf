import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    roc_auc_score,
)

from diagonal_eval.metrics import (
    average_precisions,
    bootstrap_interval,
    group_indexes,
    macro_f1,
    mean_per_class_recall,
    roc_auc,
    worst_group_accuracy,
)


@pytest.fixture(name="dice")
def dice_fixture() -> np.random.Generator:
    return np.random.default_rng(0)


def test_metrics_of_classes_are_those_of_scikit_learn(dice: np.random.Generator) -> None:
    truth, predicted = dice.integers(0, 7, 300), dice.integers(0, 9, 300)
    predicted[::2] = truth[::2]
    labels = np.unique(truth)
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        balanced = balanced_accuracy_score(truth, predicted)
    assert mean_per_class_recall(truth, predicted) == pytest.approx(balanced, abs=1e-12)
    expected = f1_score(truth, predicted, labels=labels, average="macro")
    assert macro_f1(truth, predicted) == pytest.approx(expected, abs=1e-12)


def test_a_weight_is_the_same_as_so_many_copies(dice: np.random.Generator) -> None:
    truth, predicted = dice.integers(0, 4, 60), dice.integers(0, 4, 60)
    scores, truths = dice.normal(size=(60, 3)), dice.random((60, 3)) < 0.3
    count = dice.integers(0, 3, 60)
    rows = np.repeat(np.arange(60), count)
    weight = count.astype(float)
    for metric in (mean_per_class_recall, macro_f1):
        copied = metric(truth[rows], predicted[rows])
        assert metric(truth, predicted, weight) == pytest.approx(copied, abs=1e-12)
    copied = roc_auc(scores[rows, 0], truths[rows, 0])
    assert roc_auc(scores[:, 0], truths[:, 0], weight) == pytest.approx(copied, abs=1e-12)


def test_average_precision_is_that_of_scikit_learn(dice: np.random.Generator) -> None:
    scores, truths = dice.normal(size=(200, 5)), dice.random((200, 5)) < 0.2
    truths[:, 4] = False
    expected = [average_precision_score(truths[:, c], scores[:, c]) for c in range(4)]
    assert average_precisions(scores, truths) == pytest.approx([*expected, 0], abs=1e-12)


def test_average_precision_at_eleven_recalls_by_hand() -> None:
    scores = np.array([[5.0], [4.0], [3.0], [2.0], [1.0]])
    truths = np.array([[True], [False], [True], [False], [False]])
    # Precision 1 up to recall 1/2 (0, .1, …, .5: six points), then 2/3 (five points).
    expected = (6 * 1 + 5 * 2 / 3) / 11
    assert average_precisions(scores, truths, eleven_points=True) == pytest.approx([expected])


def test_area_under_the_curve_is_that_of_scikit_learn_with_ties(dice: np.random.Generator) -> None:
    scores, truth = np.round(dice.normal(size=100), 1), dice.random(100) < 0.4
    assert roc_auc(scores, truth) == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert np.isnan(roc_auc(scores, np.ones(100, bool)))


def test_the_worst_group_is_the_lowest_that_occurs() -> None:
    names, groups = group_indexes(["b", "a", "b", "a", "c"])
    correct = np.array([True, True, False, True, True])
    assert names == ["a", "b", "c"]
    assert worst_group_accuracy(groups, correct) == 0.5
    assert worst_group_accuracy(groups, correct, np.array([1.0, 1, 0, 1, 0])) == 1.0


def test_an_interval_of_a_share_agrees_with_the_binomial() -> None:
    correct = np.arange(400) % 4 == 0
    low, high = bootstrap_interval(
        lambda weight: float(weight @ correct / weight.sum()), 400, seed=0, resamples=2000
    )
    # 1.96 standard errors of a share of 1/4 in 400.
    assert low == pytest.approx(0.25 - 0.0424, abs=0.006)
    assert high == pytest.approx(0.25 + 0.0424, abs=0.006)
