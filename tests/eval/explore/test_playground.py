"""The model at hand."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from tests.eval.conftest import COLOURS, ColourModel, jpeg

from diagonal_eval.dataset import content_digest
from diagonal_eval.embed import Encoder
from diagonal_eval.explore import playground
from diagonal_eval.explore.embeddings import Sidecar
from diagonal_eval.explore.playground import DEFAULT_SCALE, Playground
from diagonal_infra.errors import UserError


class WithTemperature(ColourModel):
    def __init__(self) -> None:
        super().__init__()
        self.logit_scale = torch.nn.Parameter(torch.tensor(math.log(14.0)))


def test_the_scale_is_the_models_own(
    monkeypatch: pytest.MonkeyPatch, encoder: Encoder, model: Playground
) -> None:
    own = dataclasses.replace(encoder, model=WithTemperature())
    monkeypatch.setattr(playground, "load_encoder", lambda _: own)
    assert Playground("any").scale == pytest.approx(14.0)
    assert model.scale == DEFAULT_SCALE


def test_a_picture_that_cannot_be_decoded_is_a_user_error_and_a_dark_row_of_a_matrix(
    model: Playground,
) -> None:
    with pytest.raises(UserError, match="cannot be decoded"):
        model.rank(b"no picture", ["a", "b"], "{}", 10)
    images = [jpeg(COLOURS["red square"]), b"no picture"]
    cosine_NN = model.similarities(images, ["red square", "blue square"])
    assert cosine_NN[0, 0] > 0.99
    np.testing.assert_array_equal(cosine_NN[1], 0)


def test_embeddings_are_known_by_their_source_or_by_the_name_of_the_model(
    encoder: Encoder, model: Playground
) -> None:
    rows = np.zeros((1, 8), np.float16)
    source = content_digest(encoder.digest, "00000000", "tar")
    assert model.made(Sidecar(image_ND=rows, source=source, model=""), "00000000", "tar")
    assert not model.made(Sidecar(image_ND=rows, source=source, model=""), "00000000", "other")
    for name in (encoder.digest, encoder.name):
        assert model.made(Sidecar(image_ND=rows, source="", model=name), "00000000", "tar")
    assert not model.made(Sidecar(image_ND=rows, source="", model=""), "00000000", "tar")
