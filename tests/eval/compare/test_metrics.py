"""Every metric out of predictions, against scikit-learn on the rows written out."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics as sklearn_metrics
from tests.eval.suite_report.folders import CLASSES, multilabel, predictions, retrieval

from diagonal_eval.compare.metrics import paired_metric, share_of_correct
from diagonal_eval.metrics import average_precisions, worst_group_accuracy


def column(table: pa.Table, name: str) -> np.ndarray:
    return np.array(table.column(name).to_pylist())


def values(metric: str, a: pa.Table, b: pa.Table) -> tuple[float, float]:
    paired = paired_metric(metric, a, b)
    assert paired is not None
    assert paired.n == paired.count_K.sum() or paired.hits is None
    return paired.a(paired.count_K), paired.b(paired.count_K)


def balanced(table: pa.Table) -> float:
    return sklearn_metrics.balanced_accuracy_score(
        column(table, "truth"), column(table, "predicted")
    )


def f1(table: pa.Table) -> float:
    return sklearn_metrics.f1_score(
        column(table, "truth"), column(table, "predicted"), average="macro"
    )


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("acc1", lambda t: column(t, "correct").mean()),
        ("acc5", lambda t: (column(t, "rank") < 5).mean()),
        ("text_acc", lambda t: column(t, "correct").mean()),
        ("mean_per_class_recall", balanced),
        ("macro_f1", f1),
    ],
)
def test_metrics_of_classes(metric: str, expected: Callable[[pa.Table], float]) -> None:
    # 203 is no multiple of five: classes are of unequal size.
    a, b = predictions(203, 0.5, 1), predictions(203, 0.7, 2)
    assert values(metric, a, b) == pytest.approx((expected(a), expected(b)))


def test_a_resample_is_the_metric_of_the_rows_that_were_drawn() -> None:
    a, b = predictions(120, 0.5, 1), predictions(120, 0.7, 2)
    paired = paired_metric("macro_f1", a, b)
    assert paired is not None
    rng = np.random.default_rng(0)
    count_K = rng.multinomial(120, paired.count_K / 120).astype(float)
    # One cell a row of the three columns, in the order of the distinct names.
    names = sorted(CLASSES)
    rows = sorted(
        {
            (names.index(t), names.index(x), names.index(y))
            for t, x, y in zip(
                *(column(a, "truth"), column(a, "predicted"), column(b, "predicted")), strict=True
            )
        }
    )
    drawn = np.repeat(rows, count_K.astype(int), axis=0)
    expected = sklearn_metrics.f1_score(
        drawn[:, 0], drawn[:, 1], average="macro", labels=np.unique(drawn[:, 0])
    )
    assert paired.a(count_K) == pytest.approx(expected)


def test_unreadable_pictures_are_wrong_and_no_class() -> None:
    a = predictions(50, 1.0, 1)
    guesses = ["(unreadable)", *a.column("predicted").to_pylist()[1:]]
    b = a.set_column(a.schema.get_field_index("predicted"), "predicted", pa.array(guesses))
    first, second = values("macro_f1", a, b)
    assert first == 1.0
    assert second == pytest.approx(1 - (1 - 2 * 9 / 19) / 5)


@pytest.mark.parametrize("eleven_points", [False, True])
def test_mean_average_precision(eleven_points: bool) -> None:
    a, b = multilabel(150, 0.5, 1), multilabel(150, 1.5, 2)
    expected = [
        average_precisions(
            column(t, "scores"), column(t, "truths"), eleven_points=eleven_points
        ).mean()
        for t in (a, b)
    ]
    assert values("map11" if eleven_points else "map", a, b) == pytest.approx(expected)
    if not eleven_points:
        ours = sklearn_metrics.average_precision_score(column(a, "truths"), column(a, "scores"))
        assert expected[0] == pytest.approx(ours)


def test_the_area_under_the_curve_out_of_confidences_or_scores() -> None:
    a, b = (predictions(100, skill, 3, ("no", "yes")) for skill in (0.6, 0.8))
    score_N = np.where(
        column(a, "predicted") == "yes", column(a, "confidence"), 1 - column(a, "confidence")
    )
    expected = sklearn_metrics.roc_auc_score(column(a, "truth") == "yes", score_N)
    assert values("roc_auc", a, b)[0] == pytest.approx(expected)
    scores_NC = np.stack([np.zeros(100), score_N], axis=1)
    truths_NC = np.stack([column(a, "truth") == name for name in ("no", "yes")], axis=1)
    stored = a.append_column("scores", pa.array(list(scores_NC)))
    stored = stored.append_column("truths", pa.array(truths_NC.tolist()))
    assert values("roc_auc", stored, b)[0] == pytest.approx(expected)


def test_the_worst_group() -> None:
    a, b = predictions(60, 0.5, 1), predictions(60, 0.7, 1)
    assert paired_metric("worst_group_acc1", a, b) is None
    groups = ["north", "south", "east"] * 20
    a, b = (table.append_column("group", pa.array(groups)) for table in (a, b))
    group_N = np.arange(60) % 3
    expected = [worst_group_accuracy(group_N, column(t, "correct")) for t in (a, b)]
    assert values("worst_group_acc1", a, b) == pytest.approx(expected)


def test_retrieval_counts_the_queries_of_its_direction() -> None:
    a, b = retrieval(40, 0.4, 1), retrieval(40, 0.8, 2)
    images, texts = slice(0, 40), slice(40, 80)
    for metric, rows in (("text_retrieval_recall@1", images), ("image_retrieval_recall@1", texts)):
        expected = [(column(t, "rank")[rows] < 1).mean() for t in (a, b)]
        assert values(metric, a, b) == pytest.approx(expected)
    paired = paired_metric("image_retrieval_recall@1", a, b)
    assert paired is not None
    assert paired.hits is not None


def test_captions_of_one_picture_are_drawn_together() -> None:
    keys = [f"text {index // 5} #{index % 5}" for index in range(100)]
    a = predictions(100, 0.5, 1).set_column(0, "key", pa.array(keys))
    b = predictions(100, 0.8, 1).set_column(0, "key", pa.array(keys))
    paired = paired_metric("image_retrieval_recall@1", a, b)
    assert paired is not None
    assert (paired.n, len(paired.count_K), paired.hits) == (100, 20, None)
    assert paired.b(paired.count_K) == pytest.approx(column(b, "correct").mean())
    own_N = column(b, "correct").reshape(20, 5).mean(axis=1)
    weight_K = np.zeros(20)
    weight_K[3] = 20
    assert paired.b(weight_K) in own_N


def test_an_unknown_metric_is_not_guessed() -> None:
    a = predictions(10, 0.5, 1)
    assert paired_metric("bleu", a, a) is None
    assert paired_metric("map", a, a) is None
    assert paired_metric("image_retrieval_recall@1", a, a) is None
    assert paired_metric("roc_auc", a, a) is None
    assert share_of_correct(a, a).n == 10
