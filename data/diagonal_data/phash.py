"""64-bit perceptual hash: the sign pattern of an image's lowest frequencies.

Grey, 32×32, DCT-II, the 8×8 lowest frequencies against their median (Zauner, 2010). Row-major,
first coefficient in the highest bit. Near-identical pictures differ in few bits; flat pictures
have unstable bits, so a comparison should pass over them (`is_flat`).
"""

import cv2
import numpy as np

SIDE = 32
KEPT = 8


def dct_rows(side: int, kept: int) -> np.ndarray:
    """The first `kept` rows of the orthonormal DCT-II matrix of size `side`."""
    frequency = np.arange(kept)[:, None]
    sample = np.arange(side)[None, :]
    rows = np.sqrt(2 / side) * np.cos(np.pi * (2 * sample + 1) * frequency / (2 * side))
    rows[0] /= np.sqrt(2)
    return rows


DCT_ROWS = dct_rows(SIDE, KEPT)


def phash(pixels: np.ndarray) -> int:
    """The hash of RGB (rows × columns × 3) or grey (rows × columns) bytes, as unsigned 64 bits."""
    height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
    if min(height, width) >= 2 * SIDE:  # averages of 2×2 cost a third of the rest
        even = pixels[: 2 * height, : 2 * width]
        pixels = cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    grey = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    low = (DCT_ROWS @ grey.astype(np.float64) @ DCT_ROWS.T).ravel()
    # Rounded, so that a flat picture's noise of 1e-13 does not decide bits.
    low = np.round(low, 6)
    bits = low > np.median(low)
    return int(np.packbits(bits).view(">u8")[0])


def hamming(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Differing bits of uint64 hashes, element by element."""
    return np.bitwise_count(first ^ second)


def is_flat(hashes: np.ndarray) -> np.ndarray:
    """Hashes of pictures without structure: too few bits set to tell two of them apart."""
    return np.bitwise_count(hashes) < KEPT
