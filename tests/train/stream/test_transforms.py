import io

import numpy as np
import pytest
from PIL import Image

from diagonal_train.stream.transforms import (
    DecodeError,
    center_box,
    center_crop,
    preprocess_for_eval,
    random_box,
    random_crop,
)


def picture(width: int, height: int) -> Image.Image:
    """A smooth picture, so that ways of resizing agree."""
    y, x = np.mgrid[0:height, 0:width]
    channels = (255 * x / width, 255 * y / height, 127 * (1 + np.sin(x / width * 6)))
    return Image.fromarray(np.stack(channels, -1).astype(np.uint8))


def encode(image: Image.Image, form: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, quality=95)
    return buffer.getvalue()


@pytest.mark.parametrize(("width", "height"), [(64, 48), (300, 200), (90, 700)])
def test_center_crop_is_pillow_crop_and_resize(width: int, height: int) -> None:
    image = picture(width, height)
    box = center_box(width, height)
    corners = (box.left, box.top, box.left + box.width, box.top + box.height)
    expected = image.resize((48, 48), Image.Resampling.BICUBIC, box=corners)
    for form, tolerance in (("PNG", 0), ("JPEG", 8)):
        difference = center_crop(encode(image, form), 48).astype(int) - np.asarray(expected)
        assert np.abs(difference).max() <= tolerance


def test_eval_pixels_are_channels_first() -> None:
    pixels = preprocess_for_eval(32)(encode(picture(64, 64), "JPEG"))
    assert (pixels.shape, pixels.dtype) == ((3, 32, 32), np.uint8)


def test_transparent_pixels_become_white() -> None:
    image = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    assert center_crop(encode(image, "PNG"), 8).min() == 255


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_modes_become_rgb(mode: str) -> None:
    content = encode(picture(64, 64).convert(mode), "JPEG")
    assert center_crop(content, 16).shape == (16, 16, 3)


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"\xff\xd8\xff", encode(picture(64, 64), "JPEG")[:500]]
)
def test_bytes_that_are_no_whole_image_are_refused(content: bytes) -> None:
    with pytest.raises(DecodeError):
        center_crop(content, 16)


def test_boxes_keep_to_scale_and_ratio() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        box = random_box(400, 300, rng, scale=(0.3, 0.8), ratio=(0.75, 4 / 3))
        assert 0.29 < box.width * box.height / (400 * 300) < 0.81
        assert 0.74 < box.width / box.height < 1.35
        assert 0 <= box.left <= 400 - box.width
        assert 0 <= box.top <= 300 - box.height


def test_a_box_that_cannot_fit_is_the_centre() -> None:
    rng = np.random.default_rng(0)
    assert random_box(10, 900, rng, scale=(0.9, 1), ratio=(1, 1)) == center_box(10, 900)


def test_the_same_random_state_gives_the_same_crop() -> None:
    content = encode(picture(200, 150), "JPEG")
    crops = [
        random_crop(content, 32, np.random.default_rng(5), scale=(0.5, 1), ratio=(0.8, 1.2))
        for _ in range(2)
    ]
    assert np.array_equal(crops[0], crops[1])
