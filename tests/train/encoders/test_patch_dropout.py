import dataclasses

import pytest
import torch
from torch import Tensor

from diagonal_infra.errors import UserError
from diagonal_train.encoders.fit_model import fit_model
from diagonal_train.encoders.models import build_model
from diagonal_train.encoders.patch_dropout import PatchDropout, kept_patches
from diagonal_train.recipes import TRAIN
from diagonal_train.streaming.batch import NOISE_WIDTH


@pytest.fixture
def noise_BK() -> Tensor:  # noqa: N802  # shape suffix
    return torch.rand(400, NOISE_WIDTH, generator=torch.manual_seed(1))


def test_a_sample_keeps_the_same_patches_in_any_batch(noise_BK: Tensor) -> None:
    whole = kept_patches(noise_BK, 49, 0.5)
    parts = [kept_patches(part, 49, 0.5) for part in noise_BK.split(7)]
    assert torch.equal(torch.cat(parts), whole)
    assert whole.shape == (400, 24)
    assert (whole[:, 1:] > whole[:, :-1]).all()


def test_each_patch_is_kept_as_often_as_any_other(noise_BK: Tensor) -> None:
    kept = kept_patches(noise_BK, 49, 0.75)
    often = torch.bincount(kept.flatten(), minlength=49) / 400
    # Four standard errors of a share of 12/49 in 400 draws.
    assert (often - 12 / 49).abs().max() < 0.09
    assert len({tuple(row) for row in kept.tolist()}) == 400


def test_what_stays_is_what_was_there_and_evaluation_keeps_all(noise_BK: Tensor) -> None:
    x_BNW = torch.arange(2 * 10 * 3.0).view(2, 10, 3)
    dropout = PatchDropout(0.4)
    dropout.noise_BK = noise_BK[:2]
    out = dropout(x_BNW)
    kept = kept_patches(noise_BK[:2], 9, 0.4)
    assert out.shape == (2, 6, 3)
    for i in range(2):
        assert torch.equal(out[i], x_BNW[i, [0, *(kept[i] + 1).tolist()]])
    assert torch.equal(dropout.eval()(x_BNW), x_BNW)


def test_an_encoder_without_patches_is_refused() -> None:
    config = dataclasses.replace(TRAIN["demo"](), patch_dropout=0.5)
    with pytest.raises(UserError, match=r"--patch-dropout 0.5 needs a vision transformer"):
        fit_model(build_model(config.model), config)
