import pytest
import torch

from diagonal_train.augment import (
    COLUMNS,
    prepare_images,
)
from diagonal_train.config.augment import AugmentConfig
from diagonal_train.streaming.batch import NOISE_WIDTH
from diagonal_train.streaming.config import CLIP_MEAN, CLIP_STD
from diagonal_train.streaming.normalise import normalised

ALL = AugmentConfig(**dict.fromkeys(COLUMNS, 0.5))


@pytest.fixture
def images_BCHW() -> torch.Tensor:  # noqa: N802  # shape suffix
    images = torch.randint(0, 256, (6, 3, 12, 12), generator=torch.manual_seed(0))
    images[:, :, :4, :4] = 90  # a plain background in the corner
    return images.to(torch.uint8)


@pytest.fixture
def noise_BK() -> torch.Tensor:  # noqa: N802  # shape suffix
    return torch.rand(6, NOISE_WIDTH, generator=torch.manual_seed(1))


def prepare(images: torch.Tensor, noise: torch.Tensor, config: AugmentConfig) -> torch.Tensor:
    return prepare_images(images, noise, config, mean=CLIP_MEAN, std=CLIP_STD)


def test_with_everything_off_it_is_plain_normalisation(
    images_BCHW: torch.Tensor, noise_BK: torch.Tensor
) -> None:
    expected = (images_BCHW.float() / 255 - torch.tensor(CLIP_MEAN).view(1, 3, 1, 1)) / (
        torch.tensor(CLIP_STD).view(1, 3, 1, 1)
    )
    assert torch.allclose(prepare(images_BCHW, noise_BK, AugmentConfig()), expected, atol=1e-6)
    assert torch.allclose(normalised(images_BCHW), expected, atol=1e-6)


def test_a_sample_looks_the_same_in_any_batch(
    images_BCHW: torch.Tensor, noise_BK: torch.Tensor
) -> None:
    whole = prepare(images_BCHW, noise_BK, ALL)
    parts = [prepare(images_BCHW[i : i + 2], noise_BK[i : i + 2], ALL) for i in (0, 2, 4)]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("name", list(COLUMNS))
def test_each_step_changes_the_chosen_samples_only(
    name: str, images_BCHW: torch.Tensor, noise_BK: torch.Tensor
) -> None:
    noise_BK[:, COLUMNS[name].start] = torch.tensor([0.1, 0.9, 0.1, 0.9, 0.9, 0.1])
    plain = prepare(images_BCHW, noise_BK, AugmentConfig())
    changed = prepare(images_BCHW, noise_BK, AugmentConfig(**{name: 0.5}))
    same = (plain == changed).flatten(1).all(1)
    assert same[[1, 3, 4]].all()
    # One order of channels in six is the old one.
    assert not same[[0, 2, 5]].all()
    assert changed.isfinite().all()


@pytest.mark.parametrize("name", list(COLUMNS))
def test_a_step_that_chooses_no_sample_changes_none(
    name: str, images_BCHW: torch.Tensor, noise_BK: torch.Tensor
) -> None:
    noise_BK[:, COLUMNS[name].start] = 0.9
    plain = prepare(images_BCHW, noise_BK, AugmentConfig())
    assert torch.equal(prepare(images_BCHW, noise_BK, AugmentConfig(**{name: 0.5})), plain)


def test_columns_do_not_overlap() -> None:
    used = [column for span in COLUMNS.values() for column in range(span.start, span.stop)]
    assert len(used) == len(set(used))
    assert max(used) < NOISE_WIDTH
