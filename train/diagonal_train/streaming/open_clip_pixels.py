"""Evaluation pixels exactly as open_clip makes them, so that published numbers are reproduced.

    decode (Pillow, in full) ─ RGB, alpha dropped ─ resize (Pillow) ─ centre crop

`transforms.preprocess_for_eval` is faster and as good; its pixels differ in the last bits, and a
prediction that is nearly a tie may fall the other way.

Shape suffixes: H and W pixels, C colours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from diagonal_train.streaming.transforms import open_rgb

INTERPOLATIONS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}


@dataclass(frozen=True, kw_only=True)
class Resize:
    """How a picture is brought to the model's square, in open_clip's terms."""

    interpolation: str = "bicubic"
    mode: Literal["shortest", "squash", "longest"] = "shortest"
    """`shortest`: the short side fits and the rest is cut off; `squash`: both sides fit, the shape
    is lost; `longest`: the long side fits, the rest is filled up."""
    fill: int = 0
    """Grey value that `longest` fills with."""


def preprocess_as_open_clip(image_size: int, resize: Resize) -> Callable[[bytes], np.ndarray]:
    """Encoded bytes to 3×image_size×image_size uint8.

    The function raises DecodeError if the bytes are no whole image, or one too large.
    """
    method = INTERPOLATIONS[resize.interpolation]

    def preprocess(content: bytes) -> np.ndarray:
        image = open_rgb(content)
        scaled = image.resize(scaled_size(image.size, image_size, resize.mode), method)
        square = _centre(scaled, image_size, resize.fill)
        return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))

    return preprocess


def scaled_size(size: tuple[int, int], target: int, mode: str) -> tuple[int, int]:
    """Width and height after resizing, rounded as torchvision's Resize does."""
    if mode == "squash":
        return target, target
    width, height = size
    if mode == "longest":
        ratio = max(width, height) / target
        return round(width / ratio), round(height / ratio)
    if width <= height:
        return target, int(target * height / width)
    return int(target * width / height), target


def _centre(image: Image.Image, side: int, fill: int) -> Image.Image:
    if image.size == (side, side):
        return image
    if min(image.size) < side:
        whole = Image.new("RGB", (max(image.width, side), max(image.height, side)), (fill,) * 3)
        whole.paste(image, ((whole.width - image.width) // 2, (whole.height - image.height) // 2))
        image = whole
    # Python's round to even, as in torchvision's CenterCrop.
    left, top = round((image.width - side) / 2), round((image.height - side) / 2)
    return image.crop((left, top, left + side, top + side))
