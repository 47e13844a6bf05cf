from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from diagonal_eval.zeroshot import build_classifier, fill_template, normalise, predict

TEMPLATES = ("{}", "a drawing of {}", "{} on a {}")


def embed_letters(texts: Sequence[str]) -> NDArray[np.float64]:
    """A different vector, of a different length, for every text."""
    return np.stack([
        np.random.default_rng(list(text.encode())).normal(size=6) * len(text) for text in texts
    ])  # fmt: skip


def test_classifier_equals_the_naive_loop() -> None:
    names = ["cat", "dog {brace}", "owl"]
    rows = []
    for name in names:
        total = np.zeros(6)
        for template in TEMPLATES:
            vector = embed_letters([template.replace("{}", name)])[0]
            total += vector / np.linalg.norm(vector)
        rows.append(total / np.linalg.norm(total))
    classifier = build_classifier(embed_letters, names, TEMPLATES)
    assert classifier.dtype == np.float32
    np.testing.assert_allclose(classifier, rows, atol=1e-6)


def test_a_class_name_with_braces_is_taken_literally() -> None:
    assert fill_template("an icon of {}", "{0.__class__}") == "an icon of {0.__class__}"


def test_accuracy_of_a_hand_counted_case() -> None:
    classifier = np.eye(6, dtype=np.float32)
    images = np.array(
        [
            [9, 1, 2, 3, 4, 5],  # truth 0: first
            [5, 9, 4, 3, 2, 1],  # truth 0: second
            [1, 9, 8, 7, 6, 5],  # truth 0: last of six
            [0, 0, 0, 0, 0, 9],  # truth 5: first
        ],
        dtype=np.float16,
    )
    predictions = predict(images, classifier, np.array([0, 0, 0, 5]))
    assert predictions.rank_N.tolist() == [0, 1, 5, 0]
    assert predictions.accuracy(1).successes == 2
    assert predictions.accuracy(5).successes == 3
    assert predictions.accuracy(5).n == 4
    assert predictions.top_NK[1].tolist() == [1, 0, 2, 3, 4]


def test_of_classes_that_tie_the_first_is_predicted() -> None:
    classifier = normalise(np.ones((4, 3)))
    predictions = predict(np.ones((4, 3)), classifier, np.arange(4))
    assert predictions.rank_N.tolist() == [0, 1, 2, 3]
    assert predictions.top_NK[:, 0].tolist() == [0] * 4


def test_a_picture_without_embedding_is_wrong() -> None:
    predictions = predict(np.zeros((1, 3)), normalise(np.eye(3)), np.array([0]))
    assert predictions.accuracy(1).successes == 0


def test_logits_that_are_not_finite_are_wrong() -> None:
    broken, classes = np.full((1, 6), np.nan), np.eye(6, dtype=np.float32)
    assert predict(broken, classes, np.array([0])).rank_N.tolist() == [5]
    classes[3] = np.nan
    assert predict(np.eye(6)[:1], classes, np.array([0])).rank_N.tolist() == [1]


@pytest.mark.parametrize("chunk_rows", [1, 7, 100])
def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch, chunk_rows: int) -> None:
    rng = np.random.default_rng(0)
    images, truth = rng.normal(size=(20, 4)), rng.integers(0, 9, 20)
    classifier = normalise(rng.normal(size=(9, 4)))
    expected = (-(normalise(images) @ classifier.T)).argsort(axis=1)
    monkeypatch.setattr("diagonal_eval.zeroshot.CHUNK_ROWS", chunk_rows)
    predictions = predict(images, classifier, truth)
    np.testing.assert_array_equal(predictions.top_NK, expected[:, :5])
    ranks = [row.tolist().index(right) for row, right in zip(expected, truth, strict=True)]
    assert predictions.rank_N.tolist() == ranks
