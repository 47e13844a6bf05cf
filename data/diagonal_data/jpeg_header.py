"""The segments of a JPEG before its first scan.

    SOI  (FF marker length content)…  SOS  entropy-coded data  EOI

Markers are found as libjpeg finds them: bytes that belong to no segment are passed over.
"""

from collections.abc import Iterator

from diagonal_data.headers import Header, TruncatedImageError, read_orientation

SOS, EOI = 0xDA, 0xD9
PROGRESSIVE = (0xC2, 0xCA)
FRAMES = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)
"""Baseline, extended and progressive; lossless and hierarchical ones cannot be scaled."""
OTHER_FRAMES = (0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF)
BARE = (0x01, *range(0xD0, 0xD8))
"""Markers without length and content."""
MODES = {1: "L", 3: "RGB", 4: "CMYK"}
EXIF, XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
ICC, PHOTOSHOP = b"ICC_PROFILE\0", b"Photoshop 3.0\0"


def read_jpeg_header(body: bytes) -> Header:
    """The header, with the memory that a file of several scans holds at full size."""
    frame, progressive, several = b"", False, False
    blocks: dict[bytes, list[bytes]] = {}
    for marker, start, end in segments(body):
        content = body[start + 2 : end]
        if marker in FRAMES and not frame:
            frame, progressive = content, marker in PROGRESSIVE
        elif marker in OTHER_FRAMES:
            raise ValueError(f"JPEG process {marker:#x} is not decoded")
        elif marker == SOS:
            several = progressive or content[:1] != frame[5:6]
        elif 0xE1 <= marker <= 0xED:
            for name in (EXIF, XMP, ICC, PHOTOSHOP):
                if content.startswith(name):
                    blocks.setdefault(name, []).append(content[len(name) :])
    mode = MODES.get(frame[5]) if len(frame) >= 6 else None
    if mode is None or len(frame) < 6 + 3 * frame[5]:
        raise ValueError("no JPEG frame of 1, 3 or 4 components")
    exif = blocks[EXIF][0] if EXIF in blocks else None
    return Header(
        format="jpeg",
        width=int.from_bytes(frame[3:5], "big"),
        height=int.from_bytes(frame[1:3], "big"),
        mode=mode,
        pixel_bytes=frame[5],
        coefficient_bytes=_coefficient_bytes(frame) if several else 0,
        # In entropy-coded data FF is followed by 00, so each hit is a scan (or in a thumbnail).
        scans=body.count(b"\xff\xda") if several else 1,
        orientation=read_orientation(exif),
        exif=exif,
        icc=b"".join(part[2:] for part in sorted(blocks.get(ICC, []))) or None,
        xmp=blocks[XMP][0] if XMP in blocks else None,
        iptc=b"".join(blocks.get(PHOTOSHOP, [])) or None,
    )


def segments(body: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start of the length field and end of every segment up to the first SOS."""
    position = 2
    while True:
        position = body.find(b"\xff", position)
        while 0 <= position < len(body) and body[position] == 0xFF:
            position += 1
        if not 0 <= position < len(body) - 2:
            raise TruncatedImageError("no scan")
        marker, start = body[position], position + 1
        position = start
        if marker == 0 or marker in BARE:
            continue
        if marker == EOI:
            raise TruncatedImageError("no scan before the end marker")
        end = start + int.from_bytes(body[start : start + 2], "big")
        if end < start + 2:
            raise ValueError(f"segment {marker:#x} has no length")
        if end > len(body):
            raise TruncatedImageError("a segment is longer than the file")
        yield marker, start, end
        if marker == SOS:
            return
        position = end


def without_padding(body: bytes) -> bytes:
    """`body` without bytes between header segments, and without padding before its end marker.

    Such bytes do no harm, but libjpeg warns of them, and reports only its first warning.
    """
    parts = [b"\xff\xd8"]
    scan = 0
    for marker, start, end in segments(body):
        parts += [b"\xff", bytes([marker]), body[start:end]]
        scan = end
    last = body.rfind(b"\xff\xd9")
    if last < scan:
        return b"".join([*parts, body[scan:]])
    data = body[scan:last]
    for padding in (b"\0", b"\xff", b" "):
        if data.endswith(3 * padding):
            data = data.rstrip(padding)
    return b"".join([*parts, data, body[last:]])


def dct_scale(size: tuple[int, int], least: tuple[int, int]) -> int:
    """The largest of 8, 4, 2, 1 that leaves no side below `least`."""
    for scale in (8, 4, 2):
        if -(-size[0] // scale) >= least[0] and -(-size[1] // scale) >= least[1]:
            return scale
    return 1


def _coefficient_bytes(frame: bytes) -> int:
    """Two bytes for each DCT coefficient of each component, subsampled as it is."""
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    factors = [(frame[i] >> 4, frame[i] & 15) for i in range(7, 6 + 3 * frame[5], 3)]
    most_across, most_down = max(a for a, _ in factors), max(d for _, d in factors)
    if not most_across or not most_down:
        raise ValueError("JPEG sampling factor 0")
    across, down = -(-width // (8 * most_across)), -(-height // (8 * most_down))
    return sum(128 * across * a * down * d for a, d in factors)
