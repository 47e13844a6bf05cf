from pathlib import Path

import numpy as np
import pytest
from tests.eval.conftest import COLOURS, jpeg
from tests.eval.evalsets import set_of

from diagonal_eval.embed import Encoder
from diagonal_eval.features import FeatureStore
from diagonal_eval.suite.measured import Measured, Measuring
from diagonal_eval.suite.retrieving import measure_retrieval, measure_selection, ranks

NAMES = tuple(COLOURS)
HOW = Measuring(logit_scale=100.0, resamples=200)


def retrieved(
    captions: list[tuple[str, ...]], shown: list[int], encoder: Encoder, folder: Path
) -> Measured:
    pictures = [jpeg(COLOURS[NAMES[i]]) for i in shown]
    evalset = set_of(pictures, kind="retrieval", captions=tuple(captions))
    store = FeatureStore(str(folder), encoder)
    return measure_retrieval(evalset, store.images(evalset), store.texts, HOW)


def test_ranks_are_those_of_sorting() -> None:
    dice = np.random.default_rng(0)
    queries, gallery = (dice.normal(size=(n, 4)).astype(np.float32) for n in (50, 30))
    right = [dice.choice(30, size=dice.integers(1, 6), replace=False) for _ in range(50)]
    order = np.argsort(-(queries @ gallery.T), axis=1)
    expected = [min(np.flatnonzero(np.isin(order[q], right[q]))) for q in range(50)]
    rank, best, _ = ranks(queries, gallery, right)
    np.testing.assert_array_equal(rank, expected)
    np.testing.assert_array_equal(best, order[:, 0])


def test_an_equal_score_of_a_wrong_item_counts_as_better_and_so_does_nan() -> None:
    gallery = np.ones((4, 2), np.float32)
    assert ranks(np.ones((1, 2), np.float32), gallery, [np.array([1, 2])])[0].tolist() == [2]
    broken = np.full((4, 2), np.nan, np.float32)
    rank = ranks(np.ones((1, 2), np.float32), broken, [np.array([1])])[0]
    assert rank.tolist() == [3]


def test_any_of_several_captions_is_right(tmp_path: Path, colour_encoder: Encoder) -> None:
    captions = [(f"a {NAMES[i]}", f"the {NAMES[i]} again") for i in range(4)]
    found = retrieved(captions, [0, 1, 2, 3], colour_encoder, tmp_path)
    assert found.record["metrics"]["text_retrieval_recall@1"] == 1.0
    assert found.record["metrics"]["image_retrieval_recall@1"] == 1.0
    assert found.predictions["key"].to_pylist()[:5] == [
        *(f"image p{i:03d}" for i in range(4)),
        "text p000 #0",
    ]
    assert len(found.predictions) == 4 + 8


def test_a_caption_that_two_pictures_share_is_right_for_both(
    tmp_path: Path, colour_encoder: Encoder
) -> None:
    captions = [("a red square",), ("a red square",), ("a blue square",)]
    found = retrieved(captions, [0, 0, 2], colour_encoder, tmp_path)
    assert found.record["metrics"]["text_retrieval_recall@1"] == 1.0
    # The two red pictures are equal, so that neither is first for its own caption.
    assert found.record["metrics"]["image_retrieval_recall@1"] == pytest.approx(1 / 3)
    assert found.record["metrics"]["image_retrieval_recall@5"] == 1.0


def test_an_unreadable_picture_is_found_by_nobody(tmp_path: Path, colour_encoder: Encoder) -> None:
    pictures = [jpeg(COLOURS[NAMES[0]]), b"broken"]
    evalset = set_of(pictures, kind="retrieval", captions=((NAMES[0],), (NAMES[1],)))
    store = FeatureStore(str(tmp_path), colour_encoder)
    found = measure_retrieval(evalset, store.images(evalset), store.texts, HOW)
    assert found.record["metrics"]["text_retrieval_recall@10"] == 0.5
    assert found.record["metrics"]["image_retrieval_recall@1"] == 0.5


def test_the_right_caption_must_be_above_all_others(
    tmp_path: Path, colour_encoder: Encoder
) -> None:
    pictures = [jpeg(COLOURS[NAMES[i]]) for i in (0, 1, 2)]
    captions = (
        ("a red square", "a green square"),
        ("a blue square", "a green square"),
        ("a blue square", "a blue square"),
    )
    evalset = set_of(pictures, kind="selection", captions=captions, metric="text_acc")
    store = FeatureStore(str(tmp_path), colour_encoder)
    found = measure_selection(evalset, store.images(evalset), store.texts, HOW)
    assert found.predictions["correct"].to_pylist() == [True, False, False]
    assert found.record["metrics"]["text_acc"] == pytest.approx(1 / 3)
    assert found.record["chance"] == 0.5


def test_pairs_are_asked_both_ways(tmp_path: Path, colour_encoder: Encoder) -> None:
    pictures = [jpeg(COLOURS[NAMES[i]]) for i in (0, 1, 2, 2)]
    captions = (
        ("a red square", "a green square"),
        ("a green square", "a red square"),
        ("a blue square", "a yellow square"),
        ("a yellow square", "a blue square"),
    )
    evalset = set_of(
        pictures, kind="selection", captions=captions, groups={"pair": ("a", "a", "b", "b")}
    )
    store = FeatureStore(str(tmp_path), colour_encoder)
    found = measure_selection(evalset, store.images(evalset), store.texts, HOW)
    assert found.record["metrics"] == {"text_acc": 0.75, "image_acc": 0.5, "group_acc": 0.5}
