from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.eval.conftest import COLOURS, ColourModel, colour_tokens, jpeg
from tests.eval.evalsets import set_of

from diagonal_eval import features
from diagonal_eval.embed import Encoder, build_encoder
from diagonal_eval.evalset import EvalSet
from diagonal_eval.features import FeatureStore
from diagonal_infra.errors import CheckpointError

NAMES = tuple(COLOURS)


@pytest.fixture(name="squares")
def squares_fixture() -> EvalSet:
    pictures = [jpeg(COLOURS[name]) for name in NAMES] + [b"no picture", b""]
    return set_of(pictures, class_names=NAMES, labels_N=[*range(8), 0, 1])


def counted(evalset: EvalSet) -> tuple[EvalSet, list[int]]:
    """The set, and which of its rows were read."""
    read: list[int] = []

    def reading(rows: Sequence[int]) -> Iterator[bytes]:
        read.extend(rows)
        return evalset.read(rows)

    return replace(evalset, read=reading), read


def test_a_picture_that_cannot_be_decoded_keeps_its_row_and_is_told(
    tmp_path: Path, colour_encoder: Encoder, squares: EvalSet
) -> None:
    found = FeatureStore(str(tmp_path), colour_encoder).images(squares)
    assert found.readable_N.tolist() == [True] * 8 + [False] * 2
    assert not found.embedding_ND[8:].any()
    assert np.linalg.norm(found.embedding_ND[:8], axis=1) == pytest.approx(1, abs=1e-6)
    assert found.pooled_NP.shape == (10, 3)


def test_what_was_computed_is_not_computed_again(
    tmp_path: Path, colour_encoder: Encoder, squares: EvalSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "CHUNK", 4)
    squares, read = counted(squares)
    first = FeatureStore(str(tmp_path), colour_encoder).images(squares)
    assert read == list(range(10))
    chunks = sorted(tmp_path.rglob("0*.npz"))
    chunks[1].unlink()  # as if killed before it was written
    read.clear()
    again = FeatureStore(str(tmp_path), colour_encoder).images(squares)
    assert read == [4, 5, 6, 7]
    for name in ("embedding_ND", "pooled_NP", "readable_N"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))


def test_other_weights_another_size_and_other_labels_are_other_features(
    tmp_path: Path, colour_encoder: Encoder, squares: EvalSet
) -> None:
    FeatureStore(str(tmp_path), colour_encoder).images(squares)
    model = ColourModel().eval()
    with torch.no_grad():
        model.project.weight[0, 0] += 0.1
    others = [
        build_encoder(
            model,
            name="other",
            tokenizer=colour_tokens,
            image_size=size,
            mean=colour_encoder.mean,
            std=colour_encoder.std,
            step=7,
            device=torch.device("cpu"),
        )
        for size in (16, 24)
    ]
    for other in others:
        counting, read = counted(squares)
        FeatureStore(str(tmp_path), other).images(counting)
        assert len(read) == 10
    counting, read = counted(replace(squares, digest="other"))
    FeatureStore(str(tmp_path), colour_encoder).images(counting)
    assert len(read) == 10


def test_a_repeated_text_has_one_row_and_the_order_stays(
    tmp_path: Path, colour_encoder: Encoder
) -> None:
    store = FeatureStore(str(tmp_path), colour_encoder, batch_size=2)
    texts = ["a red square", "blue square", "a red square", "the green square over there"]
    rows = store.texts(texts)
    np.testing.assert_array_equal(rows[0], rows[2])
    for text, row in zip(texts, rows, strict=True):
        alone = FeatureStore(str(tmp_path / "alone"), colour_encoder).texts([text])
        np.testing.assert_allclose(row, alone[0], atol=1e-6)


def test_a_broken_model_is_refused(
    tmp_path: Path, colour_encoder: Encoder, squares: EvalSet
) -> None:
    broken = ColourModel().eval()
    torch.nn.init.constant_(broken.project.weight, float("nan"))
    store = FeatureStore(str(tmp_path), replace(colour_encoder, model=broken))
    with pytest.raises(CheckpointError, match="not finite"):
        store.images(squares)
    with pytest.raises(CheckpointError, match="not finite"):
        store.texts(["a red square"])
