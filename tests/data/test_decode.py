import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from diagonal_data.config import DecodeConfig
from diagonal_data.decode import Refusal, StoredImage, decode_image
from diagonal_data.schema import Reason


def stored(body: bytes, image_size: int = 64, config: DecodeConfig | None = None) -> StoredImage:
    result = decode_image(body, image_size, config or DecodeConfig())
    assert isinstance(result, StoredImage), result
    return result


def refusal(body: bytes, config: DecodeConfig | None = None) -> Reason:
    result = decode_image(body, 64, config or DecodeConfig())
    assert isinstance(result, Refusal), result
    return result.reason


def pixels(result: StoredImage) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(result.content)).convert("RGB")).astype(int)


@pytest.mark.parametrize(
    ("mode", "size", "expected"),
    [
        ("keep_ratio_largest", (120, 90), (64, 48)),
        ("keep_ratio", (120, 90), (85, 64)),
        ("center_crop", (120, 90), (64, 64)),
        ("border", (120, 90), (64, 64)),
        ("no", (120, 90), (120, 90)),
    ],
)
def test_resize_modes(
    make_picture, encode_picture, mode: str, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    config = DecodeConfig(resize_mode=mode)  # pyright: ignore[reportArgumentType]  # parametrised literal
    result = stored(encode_picture(make_picture(0, size)), config=config)
    assert (result.width, result.height) == expected
    assert (result.original_width, result.original_height) == size
    assert Image.open(io.BytesIO(result.content)).size == expected


def test_a_small_image_is_not_enlarged_unless_asked(make_jpeg) -> None:
    body = make_jpeg(0, (40, 30))
    assert stored(body).width == 40
    assert stored(body, config=DecodeConfig(only_if_bigger=False)).width == 64


@pytest.mark.parametrize("format", ["jpg", "png", "webp"])
def test_stored_formats(make_jpeg, format: str) -> None:
    result = stored(make_jpeg(), config=DecodeConfig(format=format))  # pyright: ignore[reportArgumentType]  # parametrised literal
    names = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}
    assert Image.open(io.BytesIO(result.content)).format == names[format]


def test_orientation_is_applied_and_metadata_dropped(make_picture, encode_picture) -> None:
    image = make_picture(3, (120, 90))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "a camera"
    result = stored(encode_picture(image, exif=exif, quality=95), 90)
    assert (result.original_width, result.original_height) == (90, 120)
    reopened = Image.open(io.BytesIO(result.content))
    assert len(reopened.getexif()) == 0
    upright = image.rotate(-90, expand=True).resize(reopened.size)
    assert np.abs(pixels(result) - np.asarray(upright).astype(int)).mean() < 8


def test_alpha_is_laid_on_the_background(encode_picture) -> None:
    image = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    result = stored(encode_picture(image, "PNG"))
    assert pixels(result).min() > 250


def test_a_palette_with_transparency_is_laid_on_the_background(encode_picture) -> None:
    image = Image.new("P", (64, 64), 1)
    image.putpalette([0, 0, 0, 10, 10, 10])
    result = stored(encode_picture(image, "PNG", transparency=1))
    assert pixels(result).min() > 250


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


def test_a_broken_colour_profile_changes_nothing(encode_picture) -> None:
    image = Image.new("RGB", (64, 64), (120, 60, 60))
    broken = pixels(stored(encode_picture(image, icc_profile=b"not a profile")))
    assert np.abs(broken - (120, 60, 60)).max() < 4


def test_what_is_not_an_image(make_jpeg) -> None:
    assert refusal(b"<html>no image</html>") == Reason.NOT_AN_IMAGE
    assert refusal(b'<svg xmlns="http://www.w3.org/2000/svg"/>') == Reason.NOT_AN_IMAGE
    assert refusal(b"\xff\xd8\xff") == Reason.NOT_AN_IMAGE


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_truncated_image_is_refused(make_picture, encode_picture, format: str) -> None:
    body = encode_picture(make_picture(0, (300, 200)), format)
    assert refusal(body[: len(body) * 2 // 3]) in (Reason.TRUNCATED_IMAGE, Reason.DECODE_FAILED)


def test_a_bomb_is_refused_by_its_header(encode_picture) -> None:
    body = encode_picture(Image.new("1", (5000, 5000)), "PNG")
    assert refusal(body, DecodeConfig(max_pixels=1_000_000)) == Reason.TOO_MANY_PIXELS


def test_a_tracking_pixel_is_refused(encode_picture) -> None:
    assert refusal(encode_picture(Image.new("RGB", (1, 1)), "GIF")) == Reason.IMAGE_TOO_SMALL


def test_an_animation_is_refused(make_picture, encode_picture) -> None:
    frames = [make_picture(1), make_picture(2)]
    body = encode_picture(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert refusal(body) == Reason.ANIMATED_IMAGE
    assert stored(encode_picture(make_picture(1), "GIF")).width == 64


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_no_damage_raises(make_picture, encode_picture, format: str) -> None:
    frames = [make_picture(seed, (60, 40)) for seed in range(2)]
    more = {"save_all": True, "append_images": frames[1:]} if format in ("GIF", "TIFF") else {}
    whole = bytearray(encode_picture(frames[0], format, **more))
    rng = np.random.default_rng(0)
    results = [decode_image(bytes(whole[:end]), 64, DecodeConfig()) for end in range(0, 600)]
    for _ in range(300):
        damaged = whole.copy()
        for place in rng.integers(0, len(damaged), 3):
            damaged[place] ^= 1 << int(rng.integers(0, 8))
        results.append(decode_image(bytes(damaged), 64, DecodeConfig()))
    assert all(isinstance(result, StoredImage | Refusal) for result in results)


def test_what_cannot_be_encoded_is_refused(encode_picture) -> None:
    config = DecodeConfig(resize_mode="keep_ratio", only_if_bigger=False, min_side=1)
    body = encode_picture(Image.new("L", (4000, 2)), "PNG")
    result = decode_image(body, 64, config)  # 128 000 × 64: more than a JPEG's side
    assert isinstance(result, Refusal)
    assert result.reason == Reason.DECODE_FAILED


def test_a_large_transparent_png_is_averaged_with_its_alpha(encode_picture) -> None:
    image = Image.new("RGBA", (1200, 800), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 600, 800))
    seen = pixels(stored(encode_picture(image, "PNG")))
    assert np.abs(seen[20, 10] - (0, 0, 255)).max() < 12
    assert seen[20, 55].min() > 245
