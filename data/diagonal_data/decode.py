"""From bytes as fetched to an image as stored.

    sniff, header → pixel cap → scaled decode → orientation → ICC to sRGB → mode → resize → encode

Rules, one each: EXIF orientation is applied, then all metadata is dropped; an ICC profile is turned
into sRGB; 16-bit grey is scaled to 8; CMYK, grey and palette become RGB; alpha is laid on the
background; an animation is refused; a file that ends early is refused. Nothing larger than
`max_pixels` is ever decoded, because the header is read first.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from diagonal_data.config import DecodeConfig
from diagonal_data.phash import phash
from diagonal_data.schema import Reason

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Sniffed by content, whatever the name says."""

# The cap is ours (DecodeConfig.max_pixels), tested on the header; PIL's own would only warn.
Image.MAX_IMAGE_PIXELS = None

REDUCIBLE = ("L", "LA", "RGB", "RGBA", "CMYK")
"""Modes whose neighbours have an average (PIL weights colours by alpha); a palette's have none."""

SRGB = ImageCms.createProfile("sRGB")


@dataclass(frozen=True, kw_only=True)
class StoredImage:
    """Encoded bytes with sizes in pixels; `original_*` are upright, before resizing."""

    content: bytes
    width: int
    height: int
    original_width: int
    original_height: int
    phash: int


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why an image was not stored, with a detail for the row table."""

    reason: Reason
    detail: str


def decode_image(body: bytes, image_size: int, config: DecodeConfig) -> StoredImage | Refusal:
    """The stored form of one image, or the reason there is none; damaged input never raises."""
    try:
        with Image.open(io.BytesIO(body), formats=FORMATS) as image:
            return _header_refusal(image, config) or _store(image, image_size, config)
    except UnidentifiedImageError:
        return Refusal(reason=Reason.NOT_AN_IMAGE, detail=f"starts with {body[:16]!r}")
    except Exception as error:
        # The border to bad data: PIL's plug-ins raise nearly anything on a damaged file, and one
        # picture must not cost the shard its other ten thousand.
        truncated = "truncated" in str(error) or isinstance(error, EOFError)
        reason = Reason.TRUNCATED_IMAGE if truncated else Reason.DECODE_FAILED
        return Refusal(reason=reason, detail=f"{type(error).__name__}: {error}"[:200])


def _header_refusal(image: Image.Image, config: DecodeConfig) -> Refusal | None:
    width, height = image.size
    if width * height > config.max_pixels:
        return Refusal(reason=Reason.TOO_MANY_PIXELS, detail=f"{width}×{height}")
    if min(width, height) < config.min_side:
        return Refusal(reason=Reason.IMAGE_TOO_SMALL, detail=f"{width}×{height}")
    # MPO is a JPEG with a second view behind it, as some cameras write; the first is the picture.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        return Refusal(reason=Reason.ANIMATED_IMAGE, detail="more than one frame")
    return None


def _store(image: Image.Image, image_size: int, config: DecodeConfig) -> StoredImage:
    upright, original_size = _upright_rgb(image, image_size, config)
    stored = resize(upright, image_size, config)
    return StoredImage(
        content=encode(stored, config),
        width=stored.width,
        height=stored.height,
        original_width=original_size[0],
        original_height=original_size[1],
        phash=phash(stored),
    )


def _upright_rgb(
    image: Image.Image, image_size: int, config: DecodeConfig
) -> tuple[Image.Image, tuple[int, int]]:
    width, height = image.size
    turned = image.getexif().get(0x0112, 1) >= 5  # EXIF orientations 5–8 swap the sides
    original = (height, width) if turned else (width, height)
    if image.format == "JPEG" and config.resize_mode != "no":
        # libjpeg decodes at 1/2, 1/4 or 1/8; PIL picks the smallest that is not below this size.
        target = _resized_size((width, height), image_size, config)
        image.draft(None, (2 * target[0], 2 * target[1]))
    icc = image.info.get("icc_profile")
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    reduced = _reduced(image, image_size, config)
    return _to_rgb(_to_srgb(reduced, icc), config.background), original


def _reduced(image: Image.Image, image_size: int, config: DecodeConfig) -> Image.Image:
    """A box-averaged copy at no less than twice the stored size, so that what follows costs little.

    Decoders other than JPEG's give all pixels; turning 89 million of them into RGBA takes a GiB.
    """
    target = _resized_size(image.size, image_size, config)
    factor = min(image.width // (2 * target[0]), image.height // (2 * target[1]))
    if config.resize_mode == "no" or factor < 2 or image.mode not in REDUCIBLE:
        return image
    smaller = image.reduce(factor)
    smaller.info = image.info
    return smaller


def _to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    if not icc or image.mode not in ("RGB", "CMYK", "L"):
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        converted = ImageCms.profileToProfile(image, source, SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        # A broken profile is common and says nothing about the pixels.
        return image
    return image if converted is None else converted


def _to_rgb(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        # 16-bit grey; PIL's own conversion would clip everything above 255 to white.
        deep = np.asarray(image).astype(np.float32)
        scale = 257.0 if deep.max(initial=0) > 255 else 1.0
        return Image.fromarray(np.clip(deep / scale, 0, 255).astype(np.uint8)).convert("RGB")
    if "A" in image.getbands() or "transparency" in image.info:
        pixels = image.convert("RGBA")
        canvas = Image.new("RGBA", pixels.size, (*background, 255))
        return Image.alpha_composite(canvas, pixels).convert("RGB")
    return image.convert("RGB")


def resize(image: Image.Image, image_size: int, config: DecodeConfig) -> Image.Image:
    """`image` in the size that the resize mode asks for."""
    size = _resized_size(image.size, image_size, config)
    if size != image.size:
        smaller = size[0] < image.width
        kernel = Image.Resampling.BOX if smaller else Image.Resampling.LANCZOS
        image = image.resize(size, kernel)
    if config.resize_mode == "center_crop" and min(image.size) >= image_size:
        return ImageOps.fit(image, (image_size, image_size))
    if config.resize_mode == "border" and image.size != (image_size, image_size):
        return ImageOps.pad(image, (image_size, image_size), color=config.background)
    return image


def _resized_size(size: tuple[int, int], image_size: int, config: DecodeConfig) -> tuple[int, int]:
    if config.resize_mode == "no":
        return size
    short_side = config.resize_mode in ("keep_ratio", "center_crop")
    side = min(size) if short_side else max(size)
    if side == image_size or (config.only_if_bigger and side < image_size):
        return size
    scale = image_size / side
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def encode(image: Image.Image, config: DecodeConfig) -> bytes:
    """The stored bytes; no metadata is written."""
    buffer = io.BytesIO()
    if config.format == "jpg":
        image.save(buffer, "JPEG", quality=config.quality)
    elif config.format == "webp":
        image.save(buffer, "WEBP", quality=config.quality)
    else:
        image.save(buffer, "PNG")
    return buffer.getvalue()
