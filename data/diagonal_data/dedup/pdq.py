"""PDQ: a 256-bit perceptual hash with a quality, as Meta describes it (hashing.pdf, 2019).

    luminance ─► two passes of a box filter in each direction (Jarosz) ─► every n-th pixel: 64×64
    ─► DCT-II, frequencies 1–16 of both directions ─► bits above the median

The quality, 0–100, is the sum of the 64×64's steps: of a flat picture the bits are noise. Written
as hex, a hash is what other programs print for PDQ. All steps before the median are linear, so
filter and decimation of a side are one matrix.
"""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from diagonal_data.phash import dct_rows

SIDE = 64
KEPT = 16
MIN_QUALITY = 50
"""Meta: below, a hash is not to be used."""
DCT_ROWS = dct_rows(SIDE, KEPT + 1)[1:]


class Pdq(NamedTuple):
    """Hash, the first bit highest, and quality 0–100."""

    hash: bytes
    quality: int


def pdq(pixels: np.ndarray) -> Pdq:
    """The hash of RGB (rows × columns × 3) or grey (rows × columns) bytes."""
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    small = _shrink(height) @ grey.astype(np.float32) @ _shrink(width).T
    low = DCT_ROWS @ small @ DCT_ROWS.T
    # A flat picture's noise of 1e-6 does not decide bits.
    low = np.round(low.ravel(), 4)
    bits = low > np.sort(low)[(low.size - 1) // 2]
    # The coefficient of the lowest frequencies is the last bit.
    return Pdq(hash=np.packbits(bits[::-1]).tobytes(), quality=_quality(small))


def as_words(hashes: list[bytes]) -> np.ndarray:
    """Hashes as N×4 uint64."""
    return np.frombuffer(b"".join(hashes), ">u8").astype(np.uint64).reshape(-1, 4)


@lru_cache(maxsize=256)
def _shrink(length: int) -> np.ndarray:
    """64 × length: the filter's two passes over one direction, of which 64 places are kept."""
    window = (length + 2 * SIDE - 1) // (2 * SIDE)
    places = np.arange(length)
    after = (window + 2) // 2 - 1
    first = np.maximum(places - (window - 1 - after), 0)[:, None]
    last = np.minimum(places + after, length - 1)[:, None]
    box = ((places >= first) & (places <= last)) / (last - first + 1)
    kept = ((np.arange(SIDE) + 0.5) * length / SIDE).astype(int)
    return (box[kept] @ box).astype(np.float32)


def _quality(small: np.ndarray) -> int:
    steps = (np.trunc(np.diff(small, axis=axis) * 100 / 255) for axis in (0, 1))
    return min(100, int(sum(float(np.abs(step).sum()) for step in steps) / 90))
