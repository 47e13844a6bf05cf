"""What a file says of itself before any pixel is decoded: read in microseconds, in constant memory.

    JPEG   jpeg_header       PNG   png_header       WebP   here       GIF, BMP, TIFF   Pillow

The format is told by content, whatever name or type came with it. A header that ends early raises
`TruncatedImageError`, any other damage a `ValueError`.
"""

import io
from dataclasses import dataclass
from typing import Literal

from PIL import Image

Format = Literal["jpeg", "png", "webp", "other"]
OTHERS = ("GIF", "BMP", "TIFF")
"""What Pillow decodes for us."""
MAX_ICC_BYTES = 2**20
"""A longer colour profile is ignored, whatever the format."""
MAX_XMP_BYTES = 256 * 2**10
"""A longer packet says nothing."""

# The caps are ours (DecodeConfig), tested on the header; Pillow's own would only warn.
Image.MAX_IMAGE_PIXELS = None


class TruncatedImageError(Exception):
    """The file ends before its picture does."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """Size as coded, the memory that decoding takes, and the metadata blocks as found."""

    format: Format
    width: int
    height: int
    mode: str
    """What the decoder gives, in Pillow's words: L, RGB, RGBA or CMYK (other: Pillow's mode)."""
    pixel_bytes: int
    """Allocated per decoded pixel."""
    coefficient_bytes: int = 0
    """Held at full size whatever the scale: a JPEG of several scans."""
    scans: int = 1
    animated: bool = False
    orientation: int = 1
    exif: bytes | None = None
    icc: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None

    @property
    def turned(self) -> bool:
        """EXIF orientations 5–8 swap the sides."""
        return self.orientation >= 5

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height as a viewer shows them."""
        return (self.height, self.width) if self.turned else (self.width, self.height)


def format_of(body: bytes) -> Format | None:
    """The format by its first bytes; None for what is no picture of ours."""
    if body.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if body.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return "webp"
    if body.startswith((b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "other"
    return None


def what_else(body: bytes) -> str:
    """Words for a body that is no picture."""
    start = body[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"<") and b"<svg" in start:
        return "SVG: a drawing without pixels"
    if any(tag in start for tag in (b"<!doctype html", b"<html", b"<head", b"<body")):
        return "HTML: a page"
    return f"starts with {body[:16]!r}"


def read_webp_header(body: bytes) -> Header:
    """The header of a WebP file; its first chunk holds the size."""
    if int.from_bytes(body[4:8], "little") + 8 > len(body) + 1:  # the last padding byte may lack
        raise TruncatedImageError("RIFF is longer than the file")
    chunks = _riff_chunks(body)
    first, content = next(iter(chunks.items()))
    lossless = first == b"VP8L"
    if first == b"VP8X":
        width = 1 + int.from_bytes(content[4:7], "little")
        height = 1 + int.from_bytes(content[7:10], "little")
        flags = content[0]
    elif first == b"VP8 " and content[3:6] == b"\x9d\x01\x2a":
        width = int.from_bytes(content[6:8], "little") & 0x3FFF
        height = int.from_bytes(content[8:10], "little") & 0x3FFF
        flags = 0
    elif lossless and content[0] == 0x2F:
        bits = int.from_bytes(content[1:5], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        flags = bits >> 24 & 0x10
    else:
        raise ValueError(f"no WebP picture in chunk {first!r}")
    animated, alpha = bool(flags & 0x02), bool(flags & 0x10)
    exif = chunks.get(b"EXIF")
    exif = exif.removeprefix(b"Exif\0\0") if exif else None
    return Header(
        format="webp",
        width=width,
        height=height,
        mode="RGBA" if alpha or animated else "RGB",
        # The lossless decoder has its own copy; the animation decoder two canvases and a frame.
        pixel_bytes=16 if animated else 8 if lossless or b"VP8L" in chunks else 3 + alpha,
        animated=animated,
        orientation=read_orientation(exif),
        exif=exif,
        icc=chunks.get(b"ICCP"),
        xmp=chunks.get(b"XMP "),
    )


def _riff_chunks(body: bytes) -> dict[bytes, bytes]:
    """Content by name, the first of each name; of pixels only the start."""
    chunks: dict[bytes, bytes] = {}
    position = 12
    while position + 8 <= len(body):
        name, size = body[position : position + 4], body[position + 4 : position + 8]
        start, length = position + 8, int.from_bytes(size, "little")
        kept = min(length, 16) if name in (b"VP8 ", b"VP8L", b"ALPH", b"ANMF") else length
        chunks.setdefault(name, body[start : start + kept])
        position = start + length + (length & 1)
    if not chunks:
        raise TruncatedImageError("no chunk")
    return chunks


def read_other_header(body: bytes) -> Header:
    """The header of what Pillow opens."""
    with Image.open(io.BytesIO(body), formats=OTHERS) as image:
        width, height = image.size
        return Header(
            format="other",
            width=width,
            height=height,
            mode=image.mode,
            pixel_bytes=pillow_bytes(image.mode, "transparency" in image.info),
            animated=getattr(image, "is_animated", False),
            # No orientation: Pillow turns a TIFF itself, and its size is upright already.
            icc=image.info.get("icc_profile"),
        )


def pillow_bytes(mode: str, transparency: bool) -> int:
    """Bytes of one pixel in Pillow and in the copy of it that is made."""
    stored = {"1": 1, "L": 1, "P": 1, "I;16": 2}.get(mode, 4)
    copied = 4 if transparency or mode in ("P", "I", "F", "PA", "LA") else 1
    return stored + (copied if mode not in ("L", "RGB", "RGBA", "CMYK") or transparency else 0)


def read_orientation(exif: bytes | None) -> int:
    """EXIF orientation 1–8; 1 if it is missing or nonsense."""
    value = read_exif(exif).get(0x0112, 1) if exif else 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def read_exif(exif: bytes) -> dict[int, int | bytes]:
    """Shorts and texts of the first directory; what is damaged is passed over."""
    order: Literal["little", "big"] = "little" if exif[:2] == b"II" else "big"

    def number(start: int, length: int) -> int:
        return int.from_bytes(exif[start : start + length], order)

    directory = number(4, 4)
    found: dict[int, int | bytes] = {}
    for entry in range(min(number(directory, 2), 512)):
        start = directory + 2 + 12 * entry
        tag, kind, count = number(start, 2), number(start + 2, 2), number(start + 4, 4)
        if kind == 3 and count == 1:
            found[tag] = number(start + 8, 2)
        elif kind == 2:
            text = start + 8 if count <= 4 else number(start + 8, 4)
            found[tag] = exif[text : text + min(count, 4096)]
    return found
