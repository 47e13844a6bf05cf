import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from diagonal_data.colour import SAME_LEVELS, is_transparent, to_srgb
from diagonal_data.config import DecodeConfig
from diagonal_data.decode import StoredImage, decode_image
from diagonal_data.headers import MAX_ICC_BYTES
from diagonal_data.pixels import Pixels

WHITE = (255, 255, 255)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def stored(body: bytes, image_size: int = 64, config: DecodeConfig | None = None) -> StoredImage:
    result = decode_image(body, image_size, config or DecodeConfig())
    assert isinstance(result, StoredImage), result
    return result


def png(ihdr: bytes, rows: bytes) -> bytes:
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, content in ((b"IHDR", ihdr), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        checksum = zlib.crc32(name + content)
        parts.append(struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum))
    return b"".join(parts)


def pixels(result: StoredImage) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(result.content)).convert("RGB")).astype(int)


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_alpha_is_laid_on_the_background(encode_picture, format: str) -> None:
    image = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 32, 64))
    seen = pixels(stored(encode_picture(image, format), config=DecodeConfig(format="png")))
    assert np.abs(seen[30, 10] - (0, 0, 255)).max() < 6
    assert seen[:, 40:].min() == 255
    dark = DecodeConfig(format="png", background=(10, 20, 30))
    assert pixels(stored(encode_picture(image, format), config=dark))[30, 50].tolist() == [
        10,
        20,
        30,
    ]


def test_a_palette_with_transparency_is_laid_on_the_background(encode_picture) -> None:
    image = Image.new("P", (64, 64), 1)
    image.putpalette([0, 0, 0, 10, 10, 10])
    image.paste(0, (0, 0, 32, 64))
    seen = pixels(stored(encode_picture(image, "PNG", transparency=1)))
    assert seen[:, 40:].min() > 250
    assert seen[:, :24].max() < 6


@pytest.mark.parametrize("mode", ["1", "L", "P"])
@pytest.mark.parametrize("format", ["PNG", "GIF", "TIFF", "BMP"])
def test_grey_bilevel_and_palette_become_rgb(
    make_picture, encode_picture, format: str, mode: str
) -> None:
    image = make_picture(2).convert(mode)
    seen = pixels(stored(encode_picture(image, format), 120, DecodeConfig(format="png")))
    assert np.abs(seen - np.asarray(image.convert("RGB")).astype(int)).max() <= 1


def test_16_bit_rgb_keeps_its_colours(encode_picture) -> None:
    rows = b"".join(b"\0" + 64 * bytes([200, 9, 40, 9, 90, 9]) for _ in range(64))
    seen = pixels(stored(png(struct.pack(">IIBBBBB", 64, 64, 16, 2, 0, 0, 0), rows)))
    assert np.abs(seen - (200, 40, 90)).max() < 4


def test_16_bit_grey_keeps_its_brightness(encode_picture) -> None:
    deep = np.full((64, 64), 128 * 257, dtype=np.uint16)
    result = stored(encode_picture(Image.fromarray(deep), "PNG"))
    assert abs(pixels(result).mean() - 128) < 2


def test_cmyk_becomes_rgb(encode_picture) -> None:
    image = Image.new("CMYK", (64, 64), (0, 255, 255, 0))
    red, green, blue = pixels(stored(encode_picture(image))).reshape(-1, 3).mean(axis=0)
    assert red > 200
    assert max(green, blue) < 80


def test_a_colour_profile_is_turned_into_srgb(encode_picture) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # A profile whose red primary is green and the other way round.
    swapped = srgb.replace(b"rXYZ", b"tmp_").replace(b"gXYZ", b"rXYZ").replace(b"tmp_", b"gXYZ")
    image = Image.new("RGB", (64, 64), (200, 40, 60))
    converted = pixels(stored(encode_picture(image, "PNG", icc_profile=swapped)))
    assert np.abs(converted - (40, 200, 60)).max() < 6


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_colour_profile_that_is_too_long_is_ignored(encode_picture, format: str) -> None:
    swapped = SRGB.replace(b"rXYZ", b"tmp_").replace(b"gXYZ", b"rXYZ").replace(b"tmp_", b"gXYZ")
    image = Image.new("RGB", (64, 64), (200, 40, 60))
    for length, expected in ((MAX_ICC_BYTES, (40, 200, 60)), (MAX_ICC_BYTES + 1, (200, 40, 60))):
        # A profile states its length in its first four bytes.
        profile = (struct.pack(">I", length) + swapped[4:]).ljust(length, b"\0")
        converted = pixels(stored(encode_picture(image, format, icc_profile=profile)))
        assert np.abs(converted - expected).max() < 12


def test_a_broken_colour_profile_changes_nothing(encode_picture) -> None:
    image = Image.new("RGB", (64, 64), (120, 60, 60))
    broken = pixels(stored(encode_picture(image, icc_profile=b"not a profile")))
    assert np.abs(broken - (120, 60, 60)).max() < 4


def test_a_large_transparent_png_is_averaged_with_its_alpha(encode_picture) -> None:
    image = Image.new("RGBA", (1200, 800), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 600, 800))
    seen = pixels(stored(encode_picture(image, "PNG")))
    assert np.abs(seen[20, 10] - (0, 0, 255)).max() < 12
    assert seen[20, 55].min() > 245


def test_a_profile_that_is_srgb_changes_nothing() -> None:
    array = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    assert to_srgb(Pixels(array=array, mode="RGB"), SRGB, WHITE) is array
    assert SAME_LEVELS < 6


def test_a_profile_of_another_mode_is_ignored() -> None:
    grey = np.full((4, 4), 90, np.uint8)
    assert (to_srgb(Pixels(array=grey, mode="L"), SRGB, WHITE) == 90).all()


def test_inverted_cmyk_without_a_profile_is_multiplied_with_its_black() -> None:
    array = np.full((2, 2, 4), (255, 128, 0, 128), np.uint8)
    seen = to_srgb(Pixels(array=array, mode="CMYK"), None, WHITE)
    assert np.abs(seen.astype(int) - (128, 64, 0)).max() <= 1


def test_alpha_under_a_profile_keeps_the_background() -> None:
    swapped = SRGB.replace(b"rXYZ", b"tmp_").replace(b"gXYZ", b"rXYZ").replace(b"tmp_", b"gXYZ")
    array = np.zeros((2, 2, 4), np.uint8)
    array[0] = (200, 40, 60, 255)
    seen = to_srgb(Pixels(array=array, mode="RGBa"), swapped, (1, 2, 3)).astype(int)
    assert np.abs(seen[0] - (40, 200, 60)).max() < 8
    assert (seen[1] == (1, 2, 3)).all()


def test_only_alpha_can_make_a_picture_transparent() -> None:
    nothing = np.zeros((2, 2, 4), np.uint8)
    assert is_transparent(Pixels(array=nothing, mode="RGBa"))
    assert not is_transparent(Pixels(array=nothing, mode="CMYK"))
