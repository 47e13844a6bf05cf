"""Faces made unrecognisable, in the way of ImageNet's and DataComp's release.

Each box is grown by a tenth of its longer side and blurred with a Gaussian of a tenth of the
longest box; the edge is soft, because the mask is blurred as well.
"""

from collections.abc import Sequence

import cv2
import numpy as np

GROWTH = 0.1
SIGMA = 0.1


def blur_faces(array: np.ndarray, boxes: Sequence[Sequence[float]]) -> np.ndarray:
    """A copy in which `boxes` ([left, top, right, bottom], 0–1 of the sides) are blurred.

    A box that is none raises ValueError: the picture must not be stored with the face in it.
    """
    height, width = array.shape[:2]
    mask = np.zeros((height, width), np.float32)
    longest = 0.0
    for box in boxes:
        corners = np.asarray(box, np.float64)
        if corners.shape != (4,) or not np.isfinite(corners).all():
            raise ValueError(f"face box {list(box)!r}")
        left, top, right, bottom = corners.clip(0, 1) * (width, height, width, height)
        side = max(right - left, bottom - top)
        grown = np.array([left, top, right, bottom]) + GROWTH * side * np.array([-1, -1, 1, 1])
        left, top, right, bottom = np.rint(grown.clip(0, (width, height, width, height))).astype(
            int
        )
        mask[top:bottom, left:right] = 1
        longest = max(longest, side)
    if not mask.any():
        return array
    sigma = SIGMA * longest
    size = 2 * int(np.ceil(4 * sigma)) + 1
    blurred = cv2.GaussianBlur(array, (size, size), sigma).astype(np.float32)
    soft = cv2.GaussianBlur(mask, (size, size), sigma)[:, :, None]
    return np.rint(array + (blurred - array) * soft).astype(np.uint8)
