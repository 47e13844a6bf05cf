import sys
from typing import Any

import numpy as np
import pytest
from tests.eval.search.conftest import unit

from diagonal_eval.search.kinds import (
    calibrate,
    empty_index,
    furthest,
    kind_for,
    lists_for,
    load_faiss,
    look,
    search_whole,
    whole,
)
from diagonal_infra.errors import UserError

ROWS, WIDTH = 4000, 16
NOBODYS = np.full(60, -1)
"""Questions that belong to no row."""


def filled(kind: str, rows_ND: np.ndarray) -> Any:
    index = empty_index(kind, rows_ND.shape[1], len(rows_ND))
    if not index.is_trained:
        index.train(rows_ND)
    index.add_with_ids(rows_ND, np.arange(len(rows_ND)) + 100)
    return index


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf"])
def test_every_kind_finds_what_brute_force_finds(kind: str) -> None:
    rows_ND = unit(ROWS, WIDTH).astype(np.float16).astype(np.float32)
    questions_QD = unit(40, WIDTH, seed=1)
    index = filled(kind, rows_ND)
    assert calibrate(index, kind, unit(60, WIDTH, seed=2), NOBODYS) >= 0.994
    cosine_QK, id_QK = index.search(questions_QD, 10)
    right_QN = questions_QD @ rows_ND.T
    best_QK = np.argsort(-right_QN, axis=1, kind="stable")[:, :10]
    overlap = np.mean([
        len(set(ours) & set(best + 100)) / 10 for ours, best in zip(id_QK, best_QK, strict=True)
    ])  # fmt: skip
    assert overlap == 1 if kind == "flat" else overlap >= 0.98
    np.testing.assert_allclose(
        cosine_QK, np.take_along_axis(right_QN, id_QK - 100, axis=1), atol=1e-5
    )


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_a_search_through_the_whole_index_misses_nothing(kind: str) -> None:
    rows_ND = unit(ROWS, WIDTH)
    index = filled(kind, rows_ND)
    cosine_QK, _ = whole(index, kind).search(unit(40, WIDTH, seed=1), 10)
    right_QN = unit(40, WIDTH, seed=1) @ rows_ND.T
    np.testing.assert_allclose(cosine_QK, -np.sort(-right_QN, axis=1)[:, :10], atol=2e-3)


def test_calibration_looks_no_further_than_it_has_to() -> None:
    rows_ND, questions_QD = unit(ROWS, WIDTH), unit(60, WIDTH, seed=2)
    index = filled("ivf", rows_ND)
    calibrate(index, "ivf", questions_QD, NOBODYS)
    chosen = index.nprobe
    assert 1 <= chosen < furthest("ivf", ROWS)
    best_QK, _ = whole(index, "ivf").search(questions_QD, 10)
    look(index, "ivf", max(chosen // 2, 1))
    less_QK, _ = index.search(questions_QD, 10)
    assert chosen == 1 or (less_QK >= best_QK[:, -1:] - 1e-4).mean() < 0.994


def test_a_questions_own_row_does_not_count() -> None:
    """Rows that only their own question leads to would make all questions slow."""
    rows_ND = unit(ROWS, WIDTH)
    index = filled("ivf", rows_ND)
    own = np.arange(0, 60) + 100
    calibrate(index, "ivf", rows_ND[:60], NOBODYS)
    with_own = index.nprobe
    calibrate(index, "ivf", rows_ND[:60], own)
    assert index.nprobe >= with_own  # their own rows are the ones that are found first
    best_QK, id_QK = search_whole(index, "ivf", rows_ND[:60], 11)
    assert (id_QK[:, 0] == own).all()
    calibrate(index, "ivf", rows_ND[:60], own)
    near_QK, _ = index.search(rows_ND[:60], 11)
    assert (near_QK[:, 1:] >= best_QK[:, -1:] - 1e-4).mean() >= 0.99


def test_few_rows_are_compared_one_by_one_and_many_are_not() -> None:
    assert kind_for("auto", 50_000) == "flat"
    assert kind_for("auto", 50_001) == "hnsw"
    assert kind_for("auto", 5_000_001) == "ivf"
    assert kind_for("hnsw", 3) == "hnsw"


def test_lists_are_never_more_than_the_rows_can_train() -> None:
    assert [lists_for(rows) for rows in (0, 1, 39, 80, 1_000_000)] == [1, 1, 1, 2, 4000]


def test_without_faiss_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UserError, match=r"pip install \"diagonal\[search\]\""):
        load_faiss()
