"""PNG chunks, and the fast way to their pixels.

    signature  (length name content CRC)…        IDAT contents joined = one zlib stream

Inflating is most of a PNG's cost, and ISA-L inflates three times as fast as zlib. So the stream is
inflated here and wrapped again as stored (uncompressed) blocks, which any decoder reads at the
speed of a copy. The header tells the exact size of the inflated rows: more is never inflated, so a
bomb stays small. Only what the pixels need is copied, so text chunks reach no other parser.
"""

import struct
from collections.abc import Sequence

import numpy as np
import pyspng
from isal import isal_zlib

from diagonal_data.headers import (
    MAX_ICC_BYTES,
    MAX_XMP_BYTES,
    Header,
    TruncatedImageError,
    pillow_bytes,
    read_orientation,
)

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel by colour type: grey, RGB, palette, grey and alpha, RGBA."""
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
ADAM7_LAST = (0, 1, 1, 2)
"""First column, first row, column step and row step of the seven passes."""
STORED_BLOCK = 65_535
XMP_KEYWORD = b"XML:com.adobe.xmp\0"

Chunks = dict[bytes, list[bytes]]


def read_chunks(body: bytes) -> Chunks:
    """Contents by chunk name, in order; raises if the file ends before IEND.

    An APNG's mark counts only before the pixels: a later one is not seen.
    """
    chunks: Chunks = {}
    position = 8
    while True:
        head = body[position : position + 8]
        if len(head) < 8:
            raise TruncatedImageError("no IEND")
        length, name = int.from_bytes(head[:4], "big"), head[4:]
        end = position + 8 + length
        if end + 4 > len(body):
            raise TruncatedImageError(f"chunk {name!r} is longer than the file")
        if name == b"IEND":
            return chunks
        if name != b"acTL" or b"IDAT" not in chunks:
            chunks.setdefault(name, []).append(body[position + 8 : end])
        position = end + 4


def read_png_header(body: bytes) -> Header:
    """The header of a PNG, whole up to IEND."""
    chunks = read_chunks(body)
    width, height, depth, colour, _ = _ihdr(chunks)
    animation = chunks.get(b"acTL", [b""])[0]
    exif = chunks.get(b"eXIf", [None])[0]
    mode = {0: "L", 2: "RGB", 3: "RGB"}.get(colour, "RGBA")
    pixel_bytes = len(mode) if mode != "L" else 1
    if not fast(chunks):
        pillow = "I;16" if depth == 16 and colour == 0 else "P" if colour == 3 else mode
        pixel_bytes = pillow_bytes(pillow, b"tRNS" in chunks)
    return Header(
        format="png",
        width=width,
        height=height,
        mode=mode,
        pixel_bytes=pixel_bytes,
        animated=int.from_bytes(animation[:4], "big") > 1,
        orientation=read_orientation(exif),
        exif=exif,
        icc=_icc(chunks),
        xmp=_xmp(chunks),
    )


def fast(chunks: Chunks) -> bool:
    """Whether pyspng decodes it: it knows no transparent colour, and has its own 16 bits."""
    _, _, depth, _, interlaced = _ihdr(chunks)
    return depth <= 8 and not interlaced and b"tRNS" not in chunks


def rewrapped(chunks: Chunks, max_bytes: int) -> bytes:
    """A PNG of the same pixels with its rows stored, or as they were where that takes too much."""
    parts: list[bytes | memoryview] = [b"\x89PNG\r\n\x1a\n"]
    for name in (b"IHDR", b"PLTE", b"tRNS"):
        if name in chunks:
            parts += _chunk(name, [chunks[name][0]])
    stream = b"".join(chunks.get(b"IDAT", []))
    expected = _inflated_bytes(chunks)
    small = 3 * expected <= max_bytes  # rows, stored rows and pixels
    parts += _chunk(b"IDAT", _stored(*_inflated(stream, expected)) if small else [stream])
    return b"".join([*parts, *_chunk(b"IEND", [])])


def load(body: bytes, mode: str) -> np.ndarray:
    """Pixels of a file that is `fast`, as L, RGB or RGBA."""
    return pyspng.load(body, format=mode)


def _ihdr(chunks: Chunks) -> tuple[int, int, int, int, int]:
    if len(chunks.get(b"IHDR", [b""])[0]) != 13:
        raise ValueError("PNG without IHDR")
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[b"IHDR"][0])
    if colour not in CHANNELS or depth not in (1, 2, 4, 8, 16):
        raise ValueError(f"PNG of colour type {colour} and depth {depth}")
    return width, height, depth, colour, interlaced


def _inflated_bytes(chunks: Chunks) -> int:
    """Rows with their filter bytes, as the header states them."""
    width, height, depth, colour, interlaced = _ihdr(chunks)
    passes = (*ADAM7, ADAM7_LAST) if interlaced else ((0, 0, 1, 1),)
    total = 0
    for left, top, across, down in passes:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * CHANNELS[colour] * depth // 8))
    return total


def _inflated(stream: bytes, expected: int) -> tuple[bytes, bytes]:
    """Rows, and their Adler-32 as four bytes."""
    inflater = isal_zlib.decompressobj()
    # One byte more, so that the stream's end is reached and its checksum tested.
    rows = inflater.decompress(stream, expected + 1)
    if len(rows) < expected:
        raise TruncatedImageError("fewer rows than the header states")
    if inflater.eof and len(rows) == expected:
        end = len(stream) - len(inflater.unused_data)
        return rows, stream[end - 4 : end]
    return rows[:expected], struct.pack(">I", isal_zlib.adler32(rows[:expected]))


def _stored(rows: bytes, checksum: bytes) -> list[bytes | memoryview]:
    """The parts of a zlib stream of stored blocks (RFC 1950, RFC 1951 §3.2.4)."""
    view, parts = memoryview(rows), [b"\x78\x01"]
    for start in range(0, len(rows), STORED_BLOCK):
        block = view[start : start + STORED_BLOCK]
        last = start + STORED_BLOCK >= len(rows)
        parts += [struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF), block]
    return [*parts, checksum]


def _chunk(name: bytes, content: Sequence[bytes | memoryview]) -> list[bytes | memoryview]:
    length, checksum = sum(map(len, content)), isal_zlib.crc32(name)
    for part in content:
        checksum = isal_zlib.crc32(part, checksum)
    return [struct.pack(">I", length), name, *content, struct.pack(">I", checksum)]


def _icc(chunks: Chunks) -> bytes | None:
    if b"iCCP" not in chunks or b"sRGB" in chunks:
        return None
    _, _, packed = chunks[b"iCCP"][0].partition(b"\0")
    return _unpacked(packed[1:], MAX_ICC_BYTES)


def _xmp(chunks: Chunks) -> bytes | None:
    for text in chunks.get(b"iTXt", []):
        if text.startswith(XMP_KEYWORD):
            compressed, rest = text[len(XMP_KEYWORD)], text[len(XMP_KEYWORD) + 2 :]
            packet = rest.split(b"\0", 2)[-1]
            return _unpacked(packet, MAX_XMP_BYTES) if compressed else packet
    return None


def _unpacked(packed: bytes, max_bytes: int) -> bytes | None:
    try:
        content = isal_zlib.decompressobj().decompress(packed, max_bytes + 1)
    except isal_zlib.IsalError:  # pyright: ignore[reportGeneralTypeIssues]  # stub: Exception
        return None  # metadata alone are damaged
    return content if len(content) <= max_bytes else None
