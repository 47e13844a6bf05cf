import numpy as np
import pytest

from diagonal_eval.retrieval import evaluate_retrieval, recall_at_k
from diagonal_eval.zeroshot import normalise


def naive_hits(
    queries: np.ndarray, gallery: np.ndarray, answers: list, offered: list, k: int
) -> int:
    scores = normalise(queries) @ normalise(gallery).T
    return sum(
        answers[row] in {offered[item] for item in np.argsort(-scores[row])[:k]}
        for row in range(len(queries))
    )


@pytest.mark.parametrize("chunk_rows", [3, 1000])
def test_recall_equals_naive_argsort_with_repeated_captions(
    monkeypatch: pytest.MonkeyPatch, chunk_rows: int
) -> None:
    monkeypatch.setattr("diagonal_eval.retrieval.CHUNK_ROWS", chunk_rows)
    rng = np.random.default_rng(0)
    texts = [f"caption {number}" for number in range(12)]
    captions = [texts[number] for number in rng.integers(0, 12, 40)]
    captions[:12] = texts
    images, text_rows = rng.normal(size=(40, 5)), rng.normal(size=(12, 5))
    found = evaluate_retrieval(images, captions, text_rows, texts)
    for k in (1, 5, 10):
        hits = naive_hits(images, text_rows, captions, texts, k)
        assert (found.image_to_text[k].successes, found.image_to_text[k].n) == (hits, 40)
        hits = naive_hits(text_rows, images, texts, captions, k)
        assert (found.text_to_image[k].successes, found.text_to_image[k].n) == (hits, 12)


def test_any_picture_of_the_caption_is_a_hit() -> None:
    images = np.array([[0.0, 1.0], [1.0, 0.1]])
    found = evaluate_retrieval(images, ["cat", "cat"], np.array([[1.0, 0.0]]), ["cat"])
    assert found.text_to_image[1].value == 1.0
    assert found.num_texts == 1


def test_a_collapsed_model_finds_nothing() -> None:
    same = np.ones((8, 3))
    recall = recall_at_k(same, same, np.arange(8), np.arange(8), ks=(1, 5))
    assert [recall[k].successes for k in (1, 5)] == [0, 0]


def test_a_broken_model_finds_nothing() -> None:
    broken, whole = np.full((8, 3), np.nan), np.ones((8, 3))
    for queries, gallery in ((broken, whole), (whole, broken), (broken, broken)):
        recall = recall_at_k(queries, gallery, np.arange(8), np.arange(8), ks=(1, 5))
        assert [recall[k].successes for k in (1, 5)] == [0, 0]
