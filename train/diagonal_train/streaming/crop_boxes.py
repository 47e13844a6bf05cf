"""Which part of an image becomes the square that the model sees.

    open_clip   RandomResizedCrop: share of the area and shape drawn; rarely the centre
    square      a square as long as the short side, anywhere along the long one (the CLIP paper's)
    centre      the largest centred square; evaluation's

Random boxes follow from given uniforms in [0, 1) alone. Coordinates are whole pixels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diagonal_train.streaming.config import LoaderConfig

ATTEMPTS = 10
JPEG_FACTORS = (8, 4, 2)
"""Reductions with vector code in libjpeg-turbo; decoding at 7/8, 3/4 or 5/8 takes longer than in
full, at 3/8 longer than at 1/2 (measured at 256, 512 and 1024 pixels)."""
CROP_UNIFORMS = 2 * ATTEMPTS + 2
"""Share and shape of each attempt, then the two offsets of the box."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle of an image, in pixels."""

    left: int
    top: int
    width: int
    height: int


def random_box(
    width: int, height: int, uniforms: Sequence[float] | np.ndarray, config: LoaderConfig
) -> Box:
    """The box that `config.transform` draws in an image of that size."""
    # Python's numbers: numpy's are slower one by one, and its float32 would round the area.
    numbers: list[float] = np.asarray(uniforms, np.float64).tolist()
    if config.transform == "square":
        return square_box(width, height, numbers)
    return resized_crop_box(width, height, numbers, config.crop_scale, config.crop_ratio)


def resized_crop_box(
    width: int,
    height: int,
    uniforms: Sequence[float],
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> Box:
    """torchvision's `RandomResizedCrop.get_params`, with its randomness given.

    If no box fits in `ATTEMPTS`, as in very long images, the largest centred one of allowed shape.
    """
    flattest, widest = math.log(ratio[0]), math.log(ratio[1])
    for attempt in range(ATTEMPTS):
        share, shape = uniforms[2 * attempt : 2 * attempt + 2]
        area = width * height * (scale[0] + share * (scale[1] - scale[0]))
        aspect = math.exp(flattest + shape * (widest - flattest))
        box_width, box_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < box_width <= width and 0 < box_height <= height:
            return _placed(width, height, box_width, box_height, uniforms)
    box_width = max(1, min(width, round(height * ratio[1])))
    box_height = max(1, min(height, round(width / ratio[0])))
    return _centred(width, height, box_width, box_height)


def square_box(width: int, height: int, uniforms: Sequence[float]) -> Box:
    """A square of the short side at a random place."""
    side = min(width, height)
    return _placed(width, height, side, side, uniforms)


def aligned_box(box: Box, width: int, height: int, least: int) -> tuple[Box, int]:
    """A box on whole pixels of the image as a JPEG is reduced while it is decoded, and by how much.

    Its edges are multiples of the largest of `JPEG_FACTORS` that leaves it `least` reduced pixels
    a side; if none does, the box is as it was and the factor 1.

    Done whatever the format and the decoder: a box half a pixel beside would change the picture
    more than the reduction does.
    """
    for factor in JPEG_FACTORS:
        right, bottom = box.left + box.width, box.top + box.height
        left, top, right, bottom = (
            (edge + factor // 2) // factor for edge in (box.left, box.top, right, bottom)
        )
        # The last column or row of the reduced image may hold less than a whole pixel.
        across = min(right, width // factor) - left
        down = min(bottom, height // factor) - top
        if min(across, down) >= least:
            edges = (factor * edge for edge in (left, top, across, down))
            return Box(**dict(zip(("left", "top", "width", "height"), edges, strict=True))), factor
    return box, 1


def center_box(width: int, height: int) -> Box:
    """The largest centred square."""
    side = min(width, height)
    return _centred(width, height, side, side)


def _placed(
    width: int, height: int, box_width: int, box_height: int, uniforms: Sequence[float]
) -> Box:
    down, across = uniforms[CROP_UNIFORMS - 2 : CROP_UNIFORMS]
    return Box(
        left=int(across * (width - box_width + 1)),
        top=int(down * (height - box_height + 1)),
        width=box_width,
        height=box_height,
    )


def _centred(width: int, height: int, box_width: int, box_height: int) -> Box:
    left, top = (width - box_width) // 2, (height - box_height) // 2
    return Box(left=left, top=top, width=box_width, height=box_height)
