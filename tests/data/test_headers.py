import struct

import pytest
from PIL import Image

from diagonal_data.headers import (
    TruncatedImageError,
    format_of,
    read_exif,
    read_orientation,
    read_webp_header,
    what_else,
)


@pytest.mark.parametrize(
    ("format", "expected"),
    [("JPEG", "jpeg"), ("PNG", "png"), ("WEBP", "webp"), ("GIF", "other"), ("TIFF", "other")],
)
def test_formats_are_told_by_content(make_picture, encode_picture, format: str, expected) -> None:
    assert format_of(encode_picture(make_picture(), format)) == expected


def test_what_is_no_picture_is_named() -> None:
    svg = b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg"/>'
    assert format_of(svg) is None
    assert what_else(svg).startswith("SVG")
    assert what_else(b"\n <!DOCTYPE html><title>404</title>").startswith("HTML")
    assert what_else(b"%PDF-1.7") == "starts with b'%PDF-1.7'"


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\0\0II*\0\x08\0\0\0"}])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_webp_sizes(make_picture, encode_picture, options: dict[str, object], mode: str) -> None:
    image = make_picture(0, (123, 77)).convert(mode)
    if mode == "RGBA":
        image.putalpha(90)
    header = read_webp_header(encode_picture(image, "WEBP", **options))
    assert (header.width, header.height, header.mode) == (123, 77, mode)
    assert not header.animated


def test_a_short_webp_is_truncated(make_picture, encode_picture) -> None:
    body = encode_picture(make_picture(), "WEBP")
    with pytest.raises(TruncatedImageError):
        read_webp_header(body[:-10])
    with pytest.raises(TruncatedImageError):
        read_webp_header(b"RIFF\0\0\0\0WEBP")


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_is_read_in_both_byte_orders(order: str) -> None:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entries = [
        struct.pack(f"{order}HHIHH", 0x0112, 3, 1, 6, 0),
        struct.pack(f"{order}HHII", 0x8298, 2, 9, 38),
    ]
    block = mark + struct.pack(f"{order}IH", 8, 2) + b"".join(entries) + bytes(4) + b"me & you\0"
    assert read_exif(block) == {0x0112: 6, 0x8298: b"me & you\0"}
    assert read_orientation(block) == 6


def test_a_nonsense_orientation_is_none() -> None:
    exif = Image.Exif()
    exif[0x0112] = 9
    assert read_orientation(exif.tobytes().removeprefix(b"Exif\0\0")) == 1
    assert read_orientation(b"II*\0\xff\xff\xff\xff") == 1
    assert read_orientation(None) == 1
