"""From a file to pixels that are no smaller than asked, by the fastest decoder that will do.

    JPEG   libjpeg-turbo at 1/1, 1/2, 1/4 or 1/8 of the size, any warning of damage an error
    PNG    pyspng over stored rows (png_header); Pillow for 16 bits, interlaced, transparent colour
    WebP   OpenCV
    other  Pillow

What is still twice too large is halved, in strips that stay in the cache: 2×2 is the one average
that OpenCV has in vector code, six times as fast per pixel as 3×3 or 4×4.
Colours are RGB; alpha is multiplied in, so that averages weigh colours by it; CMYK is inverted
(255 is no ink), as JPEG has it.
"""

import io
import re
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from diagonal_data import png_header
from diagonal_data.headers import (
    OTHERS,
    Format,
    Header,
    TruncatedImageError,
    read_other_header,
    read_webp_header,
)
from diagonal_data.jpeg_header import dct_scale, read_jpeg_header, without_padding
from diagonal_data.png_header import read_png_header

# A worker decodes on the threads it is given; OpenCV would start one more per core.
cv2.setNumThreads(1)
# It would write a line to stderr for every damaged file.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

STRIP_PIXELS = 2**16
HARMLESS = re.compile(
    r"extraneous bytes before marker|unknown JFIF revision|Adobe color transform code"
    r"|Invalid SOS parameters"
)
HEADER_READERS = {
    "jpeg": read_jpeg_header,
    "png": read_png_header,
    "webp": read_webp_header,
    "other": read_other_header,
}


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """Rows, columns and channels of L, RGB, RGBa (alpha multiplied in) or inverted CMYK."""

    array: np.ndarray
    mode: str


def read_header(body: bytes, kind: Format) -> Header:
    """The header of a file of that format."""
    return HEADER_READERS[kind](body)


def decoded_bytes(header: Header, least: tuple[int, int]) -> int:
    """What the decoder allocates for pixels no smaller than `least`."""
    scale = _scale(header, least)
    pixels = -(-header.width // scale) * -(-header.height // scale)
    return header.coefficient_bytes + pixels * header.pixel_bytes


def decode_pixels(body: bytes, header: Header, least: tuple[int, int], max_bytes: int) -> Pixels:
    """Pixels as coded, not yet upright; `least` is a size as coded; below it nothing is scaled.

    Raises `TruncatedImageError` for a file that ends early, ValueError, OSError and the like for
    other damage.
    """
    if header.format == "jpeg":
        array, mode = _jpeg(body, header, _scale(header, least)), header.mode
    elif header.format == "png":
        array, mode = _png(body, header, max_bytes)
    elif header.format == "webp":
        return _webp(body, header, least)
    else:
        array, mode = _pillow(body, OTHERS)
    return _reduced(array, mode, least)


def _scale(header: Header, least: tuple[int, int]) -> int:
    return dct_scale((header.width, header.height), least) if header.format == "jpeg" else 1


def _jpeg(body: bytes, header: Header, scale: int) -> np.ndarray:
    try:
        return _scaled_jpeg(body, header, scale)
    except ValueError as error:
        message = str(error)
        if "remature end of JPEG" in message:
            raise TruncatedImageError(message) from error
        if "subsampling" in message:  # rare sampling factors, which TurboJPEG has no name for
            return _pillow(body, ("JPEG",), scale)[0]
        if not HARMLESS.search(message):
            raise
    # Only the first warning is reported, so what caused it must go before the others are known.
    clean = without_padding(body)
    if clean[-2:] != b"\xff\xd9" and b"\xff\xd9" not in clean[-4096:]:
        raise TruncatedImageError("no end marker")
    return _scaled_jpeg(clean, header, scale, strict="extraneous" in message)


def _scaled_jpeg(body: bytes, header: Header, scale: int, strict: bool = True) -> np.ndarray:
    height, width = -(-header.height // scale), -(-header.width // scale)
    # A buffer of our own: a decoder that read another size in the file could not go beyond it.
    array = np.empty((height, width, header.pixel_bytes), np.uint8)
    decoded = simplejpeg.decode_jpeg(
        body,
        colorspace={"L": "GRAY"}.get(header.mode, header.mode),
        min_height=height if scale > 1 else 0,
        min_width=width if scale > 1 else 0,
        buffer=array,
        strict=strict,
    )
    return decoded[:, :, 0] if header.mode == "L" else decoded


def _png(body: bytes, header: Header, max_bytes: int) -> tuple[np.ndarray, str]:
    chunks = png_header.read_chunks(body)
    small = png_header.rewrapped(chunks, max_bytes)
    if not png_header.fast(chunks):
        return _pillow(small, ("PNG",))
    array = png_header.load(small, header.mode)
    return array, header.mode


def _webp(body: bytes, header: Header, least: tuple[int, int]) -> Pixels:
    alpha = header.mode == "RGBA"
    flags = cv2.IMREAD_UNCHANGED if alpha else cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    array = cv2.imdecode(np.frombuffer(body, np.uint8), flags)
    if array is None:
        raise ValueError("WebP pixels are damaged")
    if not alpha or array.shape[2] == 3:
        array = array if not alpha else cv2.cvtColor(array, cv2.COLOR_BGR2RGB)
        return _reduced(array, "RGB", least)
    pixels = _reduced(array, "RGBA", least)
    return Pixels(array=cv2.cvtColor(pixels.array, cv2.COLOR_BGRA2RGBA), mode="RGBa")


def _pillow(body: bytes, formats: tuple[str, ...], scale: int = 1) -> tuple[np.ndarray, str]:
    with Image.open(io.BytesIO(body), formats=formats) as image:
        if scale > 1:
            image.draft(None, (image.width // scale, image.height // scale))
        image.load()
        if image.mode.startswith("I") or image.mode == "F":
            return _eight_bits(np.asarray(image)), "L"
        if image.has_transparency_data:
            return np.asarray(image.convert("RGBA")), "RGBA"
        if image.mode == "CMYK":
            return 255 - np.asarray(image), "CMYK"
        mode = "L" if image.mode in ("1", "L") else "RGB"
        return np.asarray(image if image.mode == mode else image.convert(mode)), mode


def _eight_bits(deep: np.ndarray) -> np.ndarray:
    """16-bit grey as 8; Pillow's own conversion would clip everything above 255 to white."""
    scale = 257.0 if deep.max(initial=0) > 255 else 1.0
    return cv2.convertScaleAbs(np.maximum(deep, 0), alpha=1 / scale)


def _reduced(array: np.ndarray, mode: str, least: tuple[int, int]) -> Pixels:
    """Halved while no side falls below `least`; an odd row or column at the end is left out."""
    height, width = array.shape[:2]
    factor = 1
    while width >= 2 * factor * least[0] and height >= 2 * factor * least[1]:
        factor *= 2
    alpha = mode == "RGBA"
    if factor == 1 and not alpha:
        return Pixels(array=array, mode=mode)
    rows, columns = height // factor, width // factor
    inner = array[: rows * factor, : columns * factor]
    smaller = np.empty((rows, columns, *array.shape[2:]), np.uint8)
    strip = max(1, STRIP_PIXELS // (columns * factor * factor))
    for row in range(0, rows, strip):
        part = inner[row * factor : (row + strip) * factor]
        if alpha:
            part = cv2.cvtColor(part, cv2.COLOR_RGBA2mRGBA)
        while part.shape[1] > columns:
            half = (part.shape[1] // 2, part.shape[0] // 2)
            part = cv2.resize(part, half, interpolation=cv2.INTER_AREA)
        smaller[row : row + strip] = part
    return Pixels(array=smaller, mode="RGBa" if alpha else mode)
