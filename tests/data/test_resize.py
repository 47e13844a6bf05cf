import numpy as np
import pytest
from PIL import Image, ImageOps

from diagonal_data.config import DecodeConfig
from diagonal_data.resize import framed, resize, resized_size, turn_upright


def test_no_keeps_the_size_whatever_it_is() -> None:
    assert resized_size((5000, 30), 64, DecodeConfig(resize_mode="no")) == (5000, 30)


def test_a_side_is_never_rounded_to_nothing() -> None:
    assert resized_size((4000, 2), 64, DecodeConfig()) == (64, 1)


def test_the_size_asked_for_is_left_as_it_is() -> None:
    array = np.zeros((48, 64, 3), np.uint8)
    assert resize(array, (64, 48)) is array
    assert resize(array, (32, 24)).shape == (24, 32, 3)


def test_the_centre_is_cropped_and_the_border_padded() -> None:
    array = np.zeros((10, 20, 3), np.uint8)
    array[:, 5:15] = 9
    crop = framed(array, 10, DecodeConfig(resize_mode="center_crop"))
    assert crop.shape == (10, 10, 3)
    assert (crop == 9).all()
    config = DecodeConfig(resize_mode="border", background=(1, 2, 3))
    padded = framed(array, 20, config)
    assert padded.shape == (20, 20, 3)
    assert (padded[:5] == (1, 2, 3)).all()
    assert (padded[15:] == (1, 2, 3)).all()
    assert (padded[5:15] == array).all()


def test_a_smaller_image_gets_neither_crop_nor_border() -> None:
    array = np.zeros((10, 20, 3), np.uint8)
    assert framed(array, 64, DecodeConfig(resize_mode="border")) is array
    assert framed(array, 16, DecodeConfig(resize_mode="center_crop")) is array


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_is_what_exif_says(orientation: int) -> None:
    array = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    image = Image.fromarray(array)
    image.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(turn_upright(array, orientation), expected)
