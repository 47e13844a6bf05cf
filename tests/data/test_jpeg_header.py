import numpy as np
import pytest
import simplejpeg

from diagonal_data.headers import TruncatedImageError
from diagonal_data.jpeg_header import dct_scale, read_jpeg_header, without_padding


def test_size_mode_and_memory_are_read(make_picture, encode_picture) -> None:
    image = make_picture(0, (160, 96))
    plain = read_jpeg_header(encode_picture(image))
    assert (plain.width, plain.height, plain.mode, plain.coefficient_bytes) == (160, 96, "RGB", 0)
    grey = read_jpeg_header(encode_picture(image.convert("L")))
    assert (grey.mode, grey.pixel_bytes) == ("L", 1)
    # Two bytes a coefficient; 4:2:0 has one and a half per pixel, 4:4:4 three.
    for subsampling, coefficients in ((2, 160 * 96 * 3 // 2), (0, 160 * 96 * 3)):
        body = encode_picture(image, progressive=True, subsampling=subsampling)
        header = read_jpeg_header(body)
        assert header.coefficient_bytes == 2 * coefficients
        assert 2 < header.scans < 20


def test_metadata_blocks_are_found(make_picture, encode_picture) -> None:
    icc = np.random.default_rng(0).bytes(100_000)  # two segments
    body = encode_picture(make_picture(), icc_profile=icc, xmp=b"<x/>", exif=b"Exif\0\0MM\0*")
    header = read_jpeg_header(body)
    assert header.icc == icc
    assert header.xmp == b"<x/>"
    assert header.exif == b"MM\0*"
    assert header.iptc is None


def test_a_header_that_ends_early_is_truncated(make_jpeg) -> None:
    body = make_jpeg()
    scan = body.index(b"\xff\xda")
    for end in (3, 20, scan - 5, scan, scan + 6):
        with pytest.raises(TruncatedImageError):
            read_jpeg_header(body[:end])
    read_jpeg_header(body[: scan + 20])


def test_a_lossless_jpeg_is_not_decoded(make_jpeg) -> None:
    with pytest.raises(ValueError, match="0xc3"):
        read_jpeg_header(make_jpeg().replace(b"\xff\xc0\0\x11", b"\xff\xc3\0\x11"))


def test_padding_goes_and_pixels_stay(make_jpeg) -> None:
    body = make_jpeg()
    table = body.index(b"\xff\xdb")
    padded = body[:table] + b"junk" + body[table:-2] + bytes(9) + body[-2:]
    with pytest.raises(ValueError, match="extraneous"):
        simplejpeg.decode_jpeg(padded)
    clean = simplejpeg.decode_jpeg(without_padding(padded))
    assert np.array_equal(clean, simplejpeg.decode_jpeg(body))


def test_the_scale_leaves_no_side_too_small() -> None:
    assert dct_scale((2048, 2048), (256, 256)) == 8
    assert dct_scale((2047, 2040), (256, 256)) == 4
    assert dct_scale((4096, 600), (256, 256)) == 2
    assert dct_scale((300, 300), (300, 300)) == 1
