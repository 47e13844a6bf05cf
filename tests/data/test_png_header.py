import struct
import zlib

import numpy as np
import pytest
from isal import isal_zlib
from PIL import Image

from diagonal_data.headers import TruncatedImageError
from diagonal_data.png_header import fast, load, read_chunks, read_png_header, rewrapped

ROOM = 2**27


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA"])
def test_stored_rows_give_the_same_pixels(make_picture, encode_picture, mode: str) -> None:
    image = make_picture(0, (303, 207)).convert(mode)
    body = encode_picture(image, "PNG")
    header, chunks = read_png_header(body), read_chunks(body)
    expected = np.asarray(image.convert(header.mode))
    assert (header.width, header.height) == (303, 207)
    assert fast(chunks)
    assert np.array_equal(load(rewrapped(chunks, ROOM), header.mode), expected)
    # Without room for the rows the stream is left as it was.
    assert np.array_equal(load(rewrapped(chunks, 1000), header.mode), expected)


def test_more_than_the_header_states_is_never_inflated() -> None:
    chunks = {
        b"IHDR": [struct.pack(">IIBBBBB", 4, 2, 8, 0, 0, 0, 0)],
        b"IDAT": [zlib.compress(bytes(5) + b"\0" + b"\x07" * 4 + bytes(10**7))],
    }
    small = rewrapped(chunks, ROOM)
    assert len(small) < 200
    assert load(small, "L")[1].tolist() == [7, 7, 7, 7]


def test_too_few_rows_are_truncated() -> None:
    chunks = {
        b"IHDR": [struct.pack(">IIBBBBB", 4, 2, 8, 0, 0, 0, 0)],
        b"IDAT": [zlib.compress(bytes(9))],
    }
    with pytest.raises(TruncatedImageError):
        rewrapped(chunks, ROOM)


def test_damage_is_found_by_the_checksum(make_picture, encode_picture) -> None:
    chunks = read_chunks(encode_picture(make_picture(), "PNG"))
    stream = b"".join(chunks[b"IDAT"])
    chunks[b"IDAT"] = [stream[:-1] + bytes([stream[-1] ^ 1])]
    with pytest.raises(isal_zlib.IsalError):  # pyright: ignore[reportArgumentType]  # stub: Exception
        rewrapped(chunks, ROOM)


def test_a_file_without_its_end_is_truncated(make_picture, encode_picture) -> None:
    body = encode_picture(make_picture(), "PNG")
    for end in (20, len(body) // 2, len(body) - 12, len(body) - 1):
        with pytest.raises(TruncatedImageError):
            read_png_header(body[:end])


def test_metadata_and_animation_are_read(make_picture, encode_picture) -> None:
    profile = b"a profile" * 50
    frames = [make_picture(1), make_picture(2)]
    body = encode_picture(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert read_png_header(body).animated
    exif = Image.Exif()
    exif[0x0112] = 6
    header = read_png_header(encode_picture(frames[0], "PNG", icc_profile=profile, exif=exif))
    assert not header.animated
    assert header.icc == profile
    assert header.upright_size == (90, 120)


def test_a_metadata_bomb_is_not_unpacked(make_picture, encode_picture) -> None:
    body = encode_picture(make_picture(), "PNG", icc_profile=bytes(8 * 2**20))
    assert len(body) < 100_000
    assert read_png_header(body).icc is None
