import io

import numpy as np
import pytest
from PIL import Image

from diagonal_data.headers import TruncatedImageError, format_of
from diagonal_data.pixels import Pixels, decode_pixels, decoded_bytes, read_header

ROOM = 2**27


def decode(body: bytes, least: tuple[int, int]) -> Pixels:
    kind = format_of(body)
    assert kind is not None
    return decode_pixels(body, read_header(body, kind), least, ROOM)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP"])
def test_pixels_are_at_most_twice_what_is_asked(make_picture, encode_picture, format: str) -> None:
    image = make_picture(0, (1030, 770))
    body = encode_picture(image, format)
    for least in ((1030, 770), (600, 449), (200, 150), (64, 48)):
        seen = decode(body, least).array
        assert least[0] <= seen.shape[1] < 2 * least[0] + 8
        assert least[1] <= seen.shape[0] < 2 * least[1] + 8
        expected = np.asarray(image.resize(seen.shape[1::-1], Image.Resampling.BOX)).astype(int)
        assert np.abs(seen - expected).mean() < 3


def test_averages_weigh_colours_by_their_alpha(encode_picture) -> None:
    image = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 33, 64))
    seen = decode(encode_picture(image, "PNG"), (16, 16))
    assert seen.mode == "RGBa"
    assert seen.array[:, :, 0].max() == 0
    assert seen.array[0, 8].tolist() == [0, 0, 64, 64]


def test_the_count_of_bytes_follows_the_scale(make_picture, encode_picture) -> None:
    image = make_picture(0, (640, 480))
    jpeg, png = encode_picture(image), encode_picture(image, "PNG")
    assert decoded_bytes(read_header(jpeg, "jpeg"), (160, 120)) == 160 * 120 * 3
    assert decoded_bytes(read_header(jpeg, "jpeg"), (640, 480)) == 640 * 480 * 3
    assert decoded_bytes(read_header(png, "png"), (160, 120)) == 640 * 480 * 3


def test_harmless_warnings_cost_no_picture_but_damage_does(make_jpeg) -> None:
    body = make_jpeg(0, (300, 200))
    table, scan = body.index(b"\xff\xdb"), body.index(b"\xff\xda") + 14
    junk = body[:table] + b"junk" + body[table:]
    whole = decode(body, (300, 200)).array
    assert np.array_equal(decode(junk, (300, 200)).array, whole)
    assert np.array_equal(decode(body[:-2] + bytes(9) + body[-2:], (300, 200)).array, whole)
    with pytest.raises(TruncatedImageError):
        decode(junk[: len(junk) * 95 // 100], (300, 200))
    middle = (scan + len(body)) // 2
    with pytest.raises(ValueError, match="Corrupt JPEG data"):
        decode(junk[:middle] + junk[middle + 200 :], (300, 200))


def test_rare_sampling_factors_are_decoded(encode_picture) -> None:
    # 2×1, 1×2 and 1×1 is a subsampling that TurboJPEG has no name for: one MCU of five blocks,
    # every one "no difference, end of block" in the standard Huffman tables.
    body = bytearray(encode_picture(Image.new("RGB", (16, 16), (128, 128, 128))))
    frame, scan = body.index(b"\xff\xc0"), body.index(b"\xff\xda") + 14
    body[frame + 11], body[frame + 14], body[frame + 17] = 0x21, 0x12, 0x11
    bits = 2 * "001010" + 3 * "0000"
    rare = bytes(body[:scan]) + int(bits, 2).to_bytes(3, "big") + b"\xff\xd9"
    assert (decode(rare, (16, 16)).array == 128).all()
    assert decode(rare, (4, 4)).array.shape == (4, 4, 3)


def test_png_ways_agree(make_picture, encode_picture) -> None:
    image = make_picture(0, (90, 70)).quantize(40)
    body = encode_picture(image, "PNG", transparency=3)
    seen = decode(body, (90, 70)).array
    expected = np.asarray(Image.open(io.BytesIO(body)).convert("RGBA").convert("RGBa"))
    assert np.abs(seen.astype(int) - expected).max() <= 1
