"""Measures of pictures, by pictures whose values are known or ordered."""

import cv2
import numpy as np
import pytest
from PIL import Image
from tests.eval.scores.drawn import BROKEN, encoded, plain, shapes

from diagonal_data.phash import hamming
from diagonal_eval.scores.image import entropy, measure, pixel_sha256, sharpness
from diagonal_train.streaming.transforms import DecodeError


def test_a_blurred_picture_is_less_sharp_at_any_size() -> None:
    values = [measure(encoded(shapes(1, blur)))["sharpness"] for blur in (0, 1, 2, 4)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 10 * values[3]
    large = shapes(1).resize((640, 512), Image.Resampling.LANCZOS)
    # The same drawing four times as large has softer edges, but is far from blurred by 4.
    assert measure(encoded(large))["sharpness"] > 3 * values[3]


def test_sharpness_is_the_variance_of_the_laplacian_at_256_pixels() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (256, 300), np.uint8)
    padded = np.pad(grey.astype(float), 1, mode="reflect")
    centre = padded[1:-1, 1:-1]
    around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    assert sharpness(grey) == pytest.approx((around - 4 * centre).var(), rel=1e-5)


def test_entropy_is_the_bits_of_the_grey_values() -> None:
    assert entropy(np.full((8, 8), 7, np.uint8)) == 0
    halves = np.repeat(np.array([[10, 200]], np.uint8), 4, axis=0)
    assert entropy(halves) == 1
    assert entropy(np.arange(256, dtype=np.uint8).reshape(16, 16)) == 8


@pytest.mark.parametrize("size", [(96, 64), (64, 96)])
def test_aspect_is_longer_by_shorter(size: tuple[int, int]) -> None:
    assert measure(plain(size=size))["aspect"] == 1.5


def test_the_pixel_digest_knows_pixels_not_files() -> None:
    image = shapes(2)
    png, bmp = encoded(image), encoded(image, "BMP")
    assert png != bmp
    assert measure(png)["pixel_sha256"] == measure(bmp)["pixel_sha256"]
    other = np.array(image)
    other[5, 5, 0] ^= 1
    assert pixel_sha256(other) != measure(png)["pixel_sha256"]
    assert pixel_sha256(np.zeros((2, 8, 3), np.uint8)) != pixel_sha256(
        np.zeros((4, 4, 3), np.uint8)
    )


def test_the_perceptual_hash_survives_jpeg_and_tells_drawings_apart() -> None:
    first, again, other = (
        np.array([measure(content)["phash"]], np.uint64)
        for content in (
            encoded(shapes(3)),
            encoded(shapes(3), "JPEG"),
            encoded(shapes(4)),
        )
    )
    assert hamming(first, again) <= 4
    assert hamming(first, other) > 10


@pytest.mark.parametrize("content", [BROKEN, b"", b"GIF89a"])
def test_what_is_no_picture_is_an_error(content: bytes) -> None:
    with pytest.raises(DecodeError):
        measure(content)


def test_a_truncated_jpeg_is_an_error() -> None:
    done, content = cv2.imencode(".jpg", np.array(shapes(5)))
    assert done
    with pytest.raises(DecodeError):
        measure(content.tobytes()[: len(content) // 2])
