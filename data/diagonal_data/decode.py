"""From bytes as fetched to an image as stored.

    sniff → header → refusals → scaled decode → resize → upright → sRGB → faces → frame → encode

Rules, one each: the format is told by content; size, shape, frames and the memory that decoding
would take are tested on the header, before any pixel; EXIF orientation is applied, then all
metadata is dropped but the rights (rights.py); an ICC profile is turned into sRGB; 16 bits are
scaled to 8; CMYK, grey and palette become RGB; alpha is laid on the background; what ends early
or is damaged is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg

from diagonal_data.colour import is_transparent, to_srgb
from diagonal_data.config import DecodeConfig
from diagonal_data.faces import blur_faces
from diagonal_data.headers import Header, TruncatedImageError, format_of, what_else
from diagonal_data.phash import phash
from diagonal_data.pixels import Pixels, decode_pixels, decoded_bytes, read_header
from diagonal_data.resize import framed, least_size, resize, resized_size, turn_upright
from diagonal_data.rights import NONE_SAID, ImageRights, read_rights
from diagonal_data.schema import Reason

MAX_SCANS = 100
"""A progressive JPEG has about ten; each costs a pass over all coefficients, of few bytes."""
PNG_COMPRESSION = 6

FaceBoxes = Sequence[Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class StoredImage:
    """Encoded bytes with sizes in pixels; `original_*` are upright, before resizing."""

    content: bytes
    width: int
    height: int
    original_width: int
    original_height: int
    phash: int
    rights: ImageRights = NONE_SAID


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why an image was not stored, with a detail for the row table."""

    reason: Reason
    detail: str


def decode_image(
    body: bytes, image_size: int, config: DecodeConfig, face_bboxes: FaceBoxes | None = None
) -> StoredImage | Refusal:
    """The stored form of one image, or the reason there is none; damaged input never raises.

    `face_bboxes` are [left, top, right, bottom], 0–1 of the upright image's sides.
    """
    try:
        kind = format_of(body)
        if kind is None:
            return Refusal(reason=Reason.NOT_AN_IMAGE, detail=what_else(body))
        header = read_header(body, kind)
        return _refusal(header, image_size, config) or _store(
            body, header, image_size, config, face_bboxes or ()
        )
    except Exception as error:
        # The border to bad data: decoders raise nearly anything on a damaged file, and one
        # picture must not cost the shard its other ten thousand.
        truncated = isinstance(error, TruncatedImageError | EOFError) or "truncated" in str(error)
        reason = Reason.TRUNCATED_IMAGE if truncated else Reason.DECODE_FAILED
        return Refusal(reason=reason, detail=f"{type(error).__name__}: {error}"[:200])


def _refusal(header: Header, image_size: int, config: DecodeConfig) -> Refusal | None:
    width, height = header.width, header.height
    size = f"{width}×{height}"
    if width * height > config.max_pixels:
        return Refusal(reason=Reason.TOO_MANY_PIXELS, detail=size)
    if min(width, height) < config.min_side:
        return Refusal(reason=Reason.IMAGE_TOO_SMALL, detail=size)
    if config.max_aspect and max(width, height) > config.max_aspect * min(width, height):
        return Refusal(reason=Reason.BANNER, detail=size)
    if header.animated and config.animation == "refuse":
        return Refusal(reason=Reason.ANIMATED_IMAGE, detail="more than one frame")
    target = _coded_target(header, image_size, config)
    needed = max(decoded_bytes(header, least_size(target)), 3 * target[0] * target[1])
    if needed > config.max_decoded_bytes:
        detail = f"{size}: decoding takes {needed // 2**20} MiB"
        return Refusal(reason=Reason.TOO_MANY_PIXELS, detail=detail)
    if header.scans > MAX_SCANS:
        return Refusal(reason=Reason.DECODE_FAILED, detail=f"JPEG of {header.scans} scans")
    return None


def _coded_target(header: Header, image_size: int, config: DecodeConfig) -> tuple[int, int]:
    width, height = resized_size(header.upright_size, image_size, config)
    return (height, width) if header.turned else (width, height)


def _store(
    body: bytes, header: Header, image_size: int, config: DecodeConfig, faces: FaceBoxes
) -> StoredImage | Refusal:
    target = _coded_target(header, image_size, config)
    pixels = decode_pixels(body, header, least_size(target), config.max_decoded_bytes)
    array = turn_upright(resize(pixels.array, target), header.orientation)
    pixels = Pixels(array=array, mode=pixels.mode)
    if is_transparent(pixels):
        return Refusal(reason=Reason.TRANSPARENT_IMAGE, detail="every pixel is transparent")
    colours = to_srgb(pixels, header.icc, config.background)
    if faces:
        colours = blur_faces(colours, faces)
    stored = framed(colours, image_size, config)
    return StoredImage(
        content=encode(stored, config),
        width=stored.shape[1],
        height=stored.shape[0],
        original_width=header.upright_size[0],
        original_height=header.upright_size[1],
        phash=phash(stored),
        rights=read_rights(header),
    )


def encode(array: np.ndarray, config: DecodeConfig) -> bytes:
    """The stored bytes of an RGB array; no metadata is written."""
    if config.format == "jpg":
        rgb = np.ascontiguousarray(array)
        return simplejpeg.encode_jpeg(rgb, config.quality, "RGB", "420")
    if config.format == "webp":
        options = [cv2.IMWRITE_WEBP_QUALITY, config.quality]
    else:
        options = [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION]
    bgr = cv2.cvtColor(array, cv2.COLOR_RGB2BGR)
    written, content = cv2.imencode(f".{config.format}", bgr, options)
    if not written:
        raise ValueError(f"{config.format} of {array.shape[1]}×{array.shape[0]} is not written")
    return content.tobytes()
