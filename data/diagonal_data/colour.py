"""From a decoder's colours to sRGB on a background.

Done on the stored size, where it is cheap: an ICC profile is turned into sRGB, inverted CMYK and
grey become RGB, alpha is laid on the background.
"""

import io
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageCms

from diagonal_data.headers import MAX_ICC_BYTES
from diagonal_data.pixels import Pixels

SRGB = ImageCms.createProfile("sRGB")
MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}
"""Pillow's mode by the profile's colour space."""
SAME_LEVELS = 2
"""A profile that moves no colour by more is sRGB, whatever it is called."""


def to_srgb(pixels: Pixels, icc: bytes | None, background: tuple[int, int, int]) -> np.ndarray:
    """RGB in sRGB, rows × columns × 3; wholly transparent pixels become the background.

    A profile of more than `MAX_ICC_BYTES` is ignored.
    """
    if icc and len(icc) > MAX_ICC_BYTES:
        icc = None
    if pixels.mode == "RGBa":
        return _on_background(pixels.array, icc, background)
    return _opaque(pixels.array, pixels.mode, icc)


def is_transparent(pixels: Pixels) -> bool:
    """Whether nothing is to be seen."""
    return pixels.mode == "RGBa" and not pixels.array[:, :, 3].any()


def _on_background(
    array: np.ndarray, icc: bytes | None, background: tuple[int, int, int]
) -> np.ndarray:
    alpha = array[:, :, 3:]
    if alpha.min() == 255:
        return _opaque(cv2.cvtColor(array, cv2.COLOR_RGBA2RGB), "RGB", icc)
    if icc and _transform(icc, "RGB"):
        straight = cv2.cvtColor(array, cv2.COLOR_mRGBA2RGBA)
        converted = _opaque(np.ascontiguousarray(straight[:, :, :3]), "RGB", icc)
        array = cv2.cvtColor(np.dstack([converted, alpha]), cv2.COLOR_RGBA2mRGBA)
    behind = ((255 - alpha).astype(np.uint16) * np.array(background, np.uint16) + 127) // 255
    return cv2.add(np.ascontiguousarray(array[:, :, :3]), behind.astype(np.uint8))


def _opaque(array: np.ndarray, mode: str, icc: bytes | None) -> np.ndarray:
    transform = _transform(icc, mode) if icc else None
    if transform:
        ink = 255 - array if mode == "CMYK" else np.ascontiguousarray(array)
        converted = transform.apply(
            Image.frombuffer(mode, ink.shape[1::-1], ink, "raw", mode, 0, 1)
        )
        return np.asarray(converted)
    if mode == "L":
        return cv2.cvtColor(array, cv2.COLOR_GRAY2RGB)
    if mode == "CMYK":
        black = cv2.cvtColor(np.ascontiguousarray(array[:, :, 3]), cv2.COLOR_GRAY2RGB)
        return cv2.multiply(np.ascontiguousarray(array[:, :, :3]), black, scale=1 / 255)
    return array


# Few: each entry holds a profile of up to MAX_ICC_BYTES twice, as the key and in the transform.
@lru_cache(maxsize=16)
def _transform(icc: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """To sRGB; None if the profile is sRGB, for another mode, or broken (which is common)."""
    try:
        # Bytes 16–20 of a profile name its colour space.
        if MODES.get(icc[16:20]) != mode:
            return None
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        transform = ImageCms.buildTransform(profile, SRGB, mode, "RGB")
        return None if mode == "RGB" and _keeps_colours(transform) else transform
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _keeps_colours(transform: ImageCms.ImageCmsTransform) -> bool:
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    lattice = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, len(levels), 3)
    seen = np.asarray(transform.apply(Image.fromarray(lattice)))
    return np.abs(seen.astype(int) - lattice).max() <= SAME_LEVELS
