"""Faces made unrecognisable, in the way of ImageNet's and DataComp's release.

Each box is grown by a tenth of its longer side and blurred with a Gaussian of a tenth of the
longest box; the edge is soft, because the mask is blurred as well.

    small boxes   each with its surroundings
    large boxes   all together, on a reduced copy: it holds all that the Gaussian leaves

So time and memory are bounded by the picture, however many and however large the boxes.
"""

from collections.abc import Sequence

import cv2
import numpy as np

GROWTH = 0.1
SIGMA = 0.1
REACH = 4
"""The Gaussian ends at so many sigmas."""
MAX_BOXES = 200
MAX_SIGMA = 6.0
"""Pixels; a larger one is applied to a reduced copy."""
REDUCED_SIGMA = 3.0
"""The sigma there: enough for linear interpolation to lose nothing."""
BAND = 64
"""Rows that are blended at once."""

Box = tuple[int, int, int, int]


def blur_faces(array: np.ndarray, boxes: Sequence[Sequence[float]]) -> np.ndarray:
    """A copy in which `boxes` ([left, top, right, bottom], 0–1 of the sides) are blurred.

    A box that is none raises ValueError, as do more than `MAX_BOXES`: the picture must not be
    stored with the face in it.
    """
    if len(boxes) > MAX_BOXES:
        raise ValueError(f"{len(boxes)} face boxes, more than {MAX_BOXES}")
    height, width = array.shape[:2]
    grown: list[Box] = []
    longest = 0.0
    for box in boxes:
        _check(box)
        corners = np.clip(box, 0, 1) * (width, height, width, height)
        side = max(corners[2:] - corners[:2])
        longest = max(longest, side)
        left, top, right, bottom = _with_margin(corners, GROWTH * side, (width, height))
        if left < right and top < bottom:
            grown.append((left, top, right, bottom))
    if not grown:
        return array
    sigma = SIGMA * longest
    blurred = array.copy()
    for group in [grown] if sigma > MAX_SIGMA else [[box] for box in grown]:
        _blur(blurred, group, sigma)
    return blurred


def _check(box: Sequence[float]) -> None:
    corners = np.asarray(box, np.float64)
    is_box = corners.shape == (4,) and np.isfinite(corners).all()
    if not is_box or (corners[:2] > corners[2:]).any():
        raise ValueError(f"face box {list(box)!r}")


def _with_margin(corners: np.ndarray, margin: float, size: tuple[int, int]) -> Box:
    """Whole pixels, within a picture of `size`."""
    wide = corners + margin * np.array([-1, -1, 1, 1])
    left, top, right, bottom = np.rint(wide.clip(0, size + size)).astype(int).tolist()
    return left, top, right, bottom


def _blur(array: np.ndarray, boxes: Sequence[Box], sigma: float) -> None:
    """Blur `boxes` in place; no pixel beyond their surroundings is touched or copied."""
    height, width = array.shape[:2]
    reach = np.ceil(REACH * sigma)
    corners = np.array(boxes)
    around = np.concatenate([corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)])
    left, top, right, bottom = _with_margin(around, reach, (width, height))
    region = array[top:bottom, left:right]
    size = (right - left, bottom - top)
    scale = int(sigma / REDUCED_SIGMA) if sigma > MAX_SIGMA else 1
    reduced = (-(-size[0] // scale), -(-size[1] // scale))
    mask = np.zeros(size[::-1], np.uint8)
    for box in boxes:
        mask[box[1] - top : box[3] - top, box[0] - left : box[2] - left] = 255
    kernel = 2 * int(np.ceil(reach / scale)) + 1

    def blurred(pixels: np.ndarray) -> np.ndarray:
        small = cv2.resize(pixels, reduced, interpolation=cv2.INTER_AREA)
        return cv2.resize(cv2.GaussianBlur(small, (kernel, kernel), sigma / scale), size)

    _blend(region, blurred(region), blurred(mask))


def _blend(region: np.ndarray, faces: np.ndarray, mask: np.ndarray) -> None:
    """Lay `faces` over `region` in place; a few rows at a time, as they are widened to 16 bits."""
    for start in range(0, len(region), BAND):
        rows = slice(start, start + BAND)
        share = mask[rows, :, None].astype(np.uint16)
        mixed = (region[rows] * (255 - share) + faces[rows] * share + 127) // 255
        region[rows] = mixed.astype(np.uint8)
