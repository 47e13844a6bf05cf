"""From an encoded image to uint8 pixels at the model's size: decode, crop and resize in one step.

    training     random box of the image ─► resize to the square
    evaluation   largest centred square  ─► resize to the square

A JPEG whose box is at least twice the size asked for is decoded at a fraction of its size by
leaving out frequencies, which is faster and filters as well. Images leave as H×W×3 RGB.
"""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import simplejpeg
from PIL import Image

JPEG_MAGIC = b"\xff\xd8"
BOX_ATTEMPTS = 10


class DecodeError(ValueError):
    """The bytes are no whole image."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle of an image, in pixels."""

    left: int
    top: int
    width: int
    height: int


def random_crop(
    content: bytes,
    image_size: int,
    rng: np.random.Generator,
    *,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> np.ndarray:
    """A random part of an encoded image as image_size² pixels.

    Raises:
        DecodeError: the bytes are no whole image.
    """
    return _crop(content, image_size, lambda w, h: random_box(w, h, rng, scale=scale, ratio=ratio))


def center_crop(content: bytes, image_size: int) -> np.ndarray:
    """The largest centred square of an encoded image as image_size² pixels.

    Raises:
        DecodeError: the bytes are no whole image.
    """
    return _crop(content, image_size, center_box)


def preprocess_for_eval(image_size: int) -> Callable[[bytes], np.ndarray]:
    """What evaluation feeds the model: encoded bytes to 3×image_size×image_size uint8."""
    return lambda content: np.ascontiguousarray(center_crop(content, image_size).transpose(2, 0, 1))


def random_box(
    width: int,
    height: int,
    rng: np.random.Generator,
    *,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> Box:
    """A box whose share of the area and log of width to height are uniform in their ranges.

    If none fits in `BOX_ATTEMPTS` draws, as in very long images, the largest centred square.
    """
    for _ in range(BOX_ATTEMPTS):
        area = width * height * rng.uniform(*scale)
        shape = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        box_width, box_height = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if 0 < box_width <= width and 0 < box_height <= height:
            left = int(rng.integers(0, width - box_width + 1))
            top = int(rng.integers(0, height - box_height + 1))
            return Box(left=left, top=top, width=box_width, height=box_height)
    return center_box(width, height)


def center_box(width: int, height: int) -> Box:
    """The largest centred square."""
    side = min(width, height)
    return Box(left=(width - side) // 2, top=(height - side) // 2, width=side, height=side)


def _crop(content: bytes, image_size: int, choose_box: Callable[[int, int], Box]) -> np.ndarray:
    if content.startswith(JPEG_MAGIC):
        try:
            width, height = _jpeg_size(content)
            box = choose_box(width, height)
            pixels = _decode_jpeg(content, width, height, box, image_size)
        except ValueError as error:
            raise DecodeError(str(error)) from error
        image = Image.fromarray(pixels)
    else:
        image = _decode_other(content)
        width, height = image.size
        box = choose_box(width, height)
    # The decoded image may be smaller than the box was chosen for.
    x, y = image.width / width, image.height / height
    corners = (
        box.left * x,
        box.top * y,
        min((box.left + box.width) * x, image.width),
        min((box.top + box.height) * y, image.height),
    )
    size = (image_size, image_size)
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC, box=corners))


def _jpeg_size(content: bytes) -> tuple[int, int]:
    height, width, _, _ = simplejpeg.decode_jpeg_header(content)
    return int(width), int(height)


def _decode_jpeg(content: bytes, width: int, height: int, box: Box, image_size: int) -> np.ndarray:
    # A factor below 2 takes longer than decoding in full (simplejpeg's documentation).
    return simplejpeg.decode_jpeg(
        content,
        colorspace="RGB",
        min_height=math.ceil(height * image_size / box.height),
        min_width=math.ceil(width * image_size / box.width),
        min_factor=2,
    )


def _decode_other(content: bytes) -> Image.Image:
    """PNG, WebP and the rest; transparent pixels become white."""
    try:
        image = Image.open(io.BytesIO(content))
        if image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image.convert("RGBA"))
        return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DecodeError(str(error)) from error
