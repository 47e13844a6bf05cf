import numpy as np
import pytest
import torch

from diagonal_eval.retrieval import recall_at_k
from diagonal_train.watching.probe_scores import RECALL_AT, classes_in, share_within, wrong_above


def test_recall_is_that_of_the_evaluation() -> None:
    rng = np.random.default_rng(0)
    left, right = (rng.normal(size=(n, 8)).astype(np.float32) for n in (1500, 40))
    left, right = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (left, right))
    answer, texts = rng.integers(0, 40, 1500), np.arange(40)
    expected = recall_at_k(left, right, answer, texts)
    wrong = wrong_above(*map(torch.from_numpy, (left, right, answer, texts)))
    found = {k: share_within(wrong, k) for k in RECALL_AT}
    assert found == {k: rate.successes / rate.n for k, rate in expected.items()}


@pytest.mark.parametrize("value", [0.5, float("nan")])
def test_a_model_that_tells_nothing_apart_finds_nothing(value: float) -> None:
    rows = torch.full((20, 4), value)
    assert share_within(wrong_above(rows, rows, torch.arange(20), torch.arange(20)), 10) == 0


def test_a_class_is_the_longest_name_in_the_caption() -> None:
    names = ["cat", "black cat", "dog"]
    captions = ["A Black Cat!", "my cat", "cats and dogs", "dog"]
    assert classes_in(captions, names) == [1, 0, None, 2]
