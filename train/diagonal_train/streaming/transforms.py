"""From an encoded image to uint8 pixels at the model's size: decode, crop and resize in one step.

    training     random box of the image (crop_boxes) ─► resize to the square
    evaluation   largest centred square               ─► resize to the square

A JPEG whose box is at least twice the size asked for is decoded at a fraction of its size by
leaving out frequencies, which is faster and filters as well. Images leave as H×W×3 RGB, as they are
coded: like open_clip, nothing here turns them by their EXIF orientation.

decoder      JPEG                           other formats          resize
fast         libjpeg-turbo, 1/1 … 1/8       Pillow, on white       torch, antialiased bicubic
pillow       Pillow, in full                Pillow, alpha dropped  Pillow, the same
evaluation   libjpeg-turbo, 1/1, 1/2 …      Pillow, on white       Pillow, the same

Shape suffixes: H and W pixels, C colours.
"""

import io
import math
import re
import struct
from collections.abc import Callable, Sequence

import numpy as np
import simplejpeg
import torch
from PIL import Image
from torch import Tensor

from diagonal_train.streaming.config import LoaderConfig
from diagonal_train.streaming.crop_boxes import (
    CROP_UNIFORMS,
    Box,
    aligned_box,
    center_box,
    random_box,
)

JPEG_MAGIC = b"\xff\xd8"
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
"""What Pillow may decode in training; it starts a program for EPS."""
MAX_PIXELS = 2**28
"""Of an image as coded; a larger one would take gigabytes to decode."""
HARMLESS = re.compile(
    r"extraneous bytes before marker|unknown JFIF revision|Adobe color transform code"
    r"|Invalid SOS parameters|subsampling"
)
"""What simplejpeg refuses in whole images, so that Pillow decodes them."""
PILLOW_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    struct.error,
    RuntimeError,
    Image.DecompressionBombError,
)
"""What damage makes Pillow raise; RuntimeError comes from AVIF."""
ChooseBox = Callable[[int, int], tuple[Box, int]]
"""Given width and height: a box, and by how much a JPEG is reduced; see `aligned_box`."""


class DecodeError(ValueError):
    """The bytes are no whole image."""


def train_pixels(
    content: bytes,
    out_HWC: np.ndarray,
    uniforms: Sequence[float] | np.ndarray,
    config: LoaderConfig,
) -> None:
    """Write a random part of an encoded image into `out_HWC`, scaled to its size.

    Args:
        content: the encoded image.
        out_HWC: uint8, contiguous.
        uniforms: CROP_UNIFORMS numbers in [0, 1), on which the box depends.
        config: names the boxes and the decoder.

    Raises:
        DecodeError: the bytes are no whole image, or one too large.
    """
    assert len(uniforms) == CROP_UNIFORMS

    def choose_box(width: int, height: int) -> tuple[Box, int]:
        box = random_box(width, height, uniforms, config)
        return aligned_box(box, width, height, least=min(out_HWC.shape[:2]))

    if config.decoder == "pillow":
        image = _crop_by_pillow(content, choose_box, _alpha_dropped)
        height, width, _ = out_HWC.shape
        out_HWC[:] = image.resize((width, height), Image.Resampling.BICUBIC)
    else:
        _resize(_decode_box(content, choose_box), out_HWC)


def center_crop(content: bytes, image_size: int) -> np.ndarray:
    """The largest centred square of an encoded image as image_size² pixels.

    Raises:
        DecodeError: the bytes are no whole image.
    """
    if content.startswith(JPEG_MAGIC):
        try:
            width, height = _jpeg_size(content)
            box = center_box(width, height)
            pixels = _decode_jpeg_above_half(content, width, height, box, image_size)
        except ValueError as error:
            raise DecodeError(str(error)) from error
        image = Image.fromarray(pixels)
    else:
        image = _decode_other(content)
        width, height = image.size
        box = center_box(width, height)
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


def whole_image(content: bytes) -> np.ndarray:
    """All pixels of an encoded image, H×W×3.

    Raises:
        DecodeError: the bytes are no whole image, or one too large.
    """
    return _decode_box(
        content, lambda width, height: (Box(left=0, top=0, width=width, height=height), 1)
    )


def preprocess_for_eval(image_size: int) -> Callable[[bytes], np.ndarray]:
    """What evaluation feeds the model: encoded bytes to 3×image_size×image_size uint8."""
    return lambda content: np.ascontiguousarray(center_crop(content, image_size).transpose(2, 0, 1))


def _decode_box(content: bytes, choose_box: ChooseBox) -> np.ndarray:
    """The pixels of the box, reduced as it may be."""
    if content.startswith(JPEG_MAGIC):
        try:
            return _decode_jpeg_box(content, choose_box)
        except DecodeError:
            raise
        except ValueError as error:
            if not HARMLESS.search(str(error)):
                raise DecodeError(str(error)) from error
    return np.array(_crop_by_pillow(content, choose_box, _on_white))


def _decode_jpeg_box(content: bytes, choose_box: ChooseBox) -> np.ndarray:
    width, height = _jpeg_size(content)
    _check_size(width, height)
    box, factor = choose_box(width, height)
    pixels_HWC = simplejpeg.decode_jpeg(
        content,
        colorspace="RGB",
        min_height=math.ceil(height / factor),
        min_width=math.ceil(width / factor),
    )
    left, top, width, height = (
        edge // factor for edge in (box.left, box.top, box.width, box.height)
    )
    return pixels_HWC[top : top + height, left : left + width]


def _resize(pixels_HWC: np.ndarray, out_HWC: np.ndarray) -> None:
    # F.interpolate takes no `out`: a fresh result costs as much again as the filter itself.
    torch.ops.aten._upsample_bicubic2d_aa.out(
        _as_batch(pixels_HWC), list(out_HWC.shape[:2]), False, out=_as_batch(out_HWC)
    )


def _as_batch(pixels_HWC: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels_HWC).permute(2, 0, 1).unsqueeze(0)


def _crop_by_pillow(
    content: bytes, choose_box: ChooseBox, to_rgb: Callable[[Image.Image], Image.Image]
) -> Image.Image:
    pixels = open_rgb(content, to_rgb)
    box, _ = choose_box(*pixels.size)
    return pixels.crop((box.left, box.top, box.left + box.width, box.top + box.height))


def _alpha_dropped(image: Image.Image) -> Image.Image:
    """RGB as open_clip has it."""
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")


def open_rgb(
    content: bytes, to_rgb: Callable[[Image.Image], Image.Image] = _alpha_dropped
) -> Image.Image:
    """The whole image by Pillow, made RGB as `to_rgb` does.

    Raises:
        DecodeError: the bytes are no whole image, or one too large.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_size(*image.size)
            return to_rgb(image)
    except DecodeError:
        raise
    except PILLOW_ERRORS as error:
        raise DecodeError(str(error)) from error


def _on_white(image: Image.Image) -> Image.Image:
    """RGB on white; 16-bit grey is scaled to 8 bits, where Pillow would cut it off at 255."""
    if image.mode.startswith("I"):
        deep = np.asarray(image)
        image = Image.fromarray((deep / (257 if deep.max() > 255 else 1)).clip(0).astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return _alpha_dropped(image)


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise DecodeError(f"{width}×{height} pixels are more than {MAX_PIXELS}")


def _jpeg_size(content: bytes) -> tuple[int, int]:
    height, width, _, _ = simplejpeg.decode_jpeg_header(content)
    return int(width), int(height)


def _decode_jpeg_above_half(
    content: bytes, width: int, height: int, box: Box, image_size: int
) -> np.ndarray:
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
