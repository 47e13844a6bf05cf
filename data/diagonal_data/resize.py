"""The stored size: planned from the upright original, then made, cropped or padded."""

import cv2
import numpy as np

from diagonal_data.config import DecodeConfig

Size = tuple[int, int]
HEADROOM = 1.5
"""Decoders leave so many times the target's pixels a side. Nearer to the target they are cheaper,
and what is stored is less like the picture decoded in full: mean SSIM of the JPEGs 0.978 at 1.25,
0.9815 at 1.5 and 0.982 at 2.0, for 7.1, 7.2 and 7.3 ms."""


def resized_size(size: Size, image_size: int, config: DecodeConfig) -> Size:
    """Width and height after resizing, before the crop or the border."""
    if config.resize_mode == "no":
        return size
    short_side = config.resize_mode in ("keep_ratio", "center_crop")
    side = min(size) if short_side else max(size)
    if side == image_size or (config.only_if_bigger and side < image_size):
        return size
    scale = image_size / side
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def least_size(target: Size) -> Size:
    """What decoders may scale down to on the way to `target`; the rest is `resize`'s."""
    return int(target[0] * HEADROOM), int(target[1] * HEADROOM)


def resize(array: np.ndarray, size: Size) -> np.ndarray:
    """`array` in that size.

    What becomes smaller is sampled at twice the size and averaged 2×2: close to OpenCV's average
    over areas at less than half its cost, as both steps have fast paths.
    """
    if size == (array.shape[1], array.shape[0]):
        return array
    if size[0] >= array.shape[1]:
        return cv2.resize(array, size, interpolation=cv2.INTER_LANCZOS4)
    twice = cv2.resize(array, (2 * size[0], 2 * size[1]), interpolation=cv2.INTER_LINEAR)
    return cv2.resize(twice, size, interpolation=cv2.INTER_AREA)


def framed(array: np.ndarray, image_size: int, config: DecodeConfig) -> np.ndarray:
    """The centre square of `center_crop`, the padded square of `border`; others as they are.

    An image that `only_if_bigger` left small keeps its size.
    """
    height, width = array.shape[:2]
    if config.resize_mode == "center_crop" and min(height, width) >= image_size:
        top, left = (height - image_size) // 2, (width - image_size) // 2
        return np.ascontiguousarray(array[top : top + image_size, left : left + image_size])
    if config.resize_mode == "border" and max(height, width) == image_size:
        above, before = (image_size - height) // 2, (image_size - width) // 2
        below, behind = image_size - height - above, image_size - width - before
        return cv2.copyMakeBorder(
            array, above, below, before, behind, cv2.BORDER_CONSTANT, value=config.background
        )
    return array


def turn_upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """EXIF orientation 1–8 applied."""
    if orientation in (5, 6, 7, 8):
        array = cv2.transpose(array)
    if orientation in (2, 6, 3, 7):
        array = cv2.flip(array, 1)
    if orientation in (4, 8, 3, 7):
        array = cv2.flip(array, 0)
    return array
