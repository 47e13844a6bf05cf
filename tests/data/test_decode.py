import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from diagonal_data.config import DecodeConfig
from diagonal_data.decode import Refusal, StoredImage, decode_image
from diagonal_data.headers import Header
from diagonal_data.pixels import decoded_bytes
from diagonal_data.schema import Reason


def stored(body: bytes, image_size: int = 64, config: DecodeConfig | None = None) -> StoredImage:
    result = decode_image(body, image_size, config or DecodeConfig())
    assert isinstance(result, StoredImage), result
    return result


def refusal(body: bytes, config: DecodeConfig | None = None) -> Reason:
    result = decode_image(body, 64, config or DecodeConfig())
    assert isinstance(result, Refusal), result
    return result.reason


def png(ihdr: bytes, rows: bytes) -> bytes:
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, content in ((b"IHDR", ihdr), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        checksum = zlib.crc32(name + content)
        parts.append(struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum))
    return b"".join(parts)


def blank_png(width: int, height: int, colour: int) -> bytes:
    return png(struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0), b"")


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


@pytest.mark.parametrize("mode", ["keep_ratio_largest", "keep_ratio", "center_crop", "border"])
def test_a_small_image_is_not_enlarged_unless_asked(make_jpeg, mode: str) -> None:
    body = make_jpeg(0, (40, 30))
    small = stored(body, config=DecodeConfig(resize_mode=mode))  # pyright: ignore[reportArgumentType]  # parametrised literal
    assert (small.width, small.height) == (40, 30)
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


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF"])
def test_a_picture_of_which_nothing_is_seen_is_refused(encode_picture, format: str) -> None:
    image = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    assert refusal(encode_picture(image, format)) == Reason.TRANSPARENT_IMAGE


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_orientation_is_applied(
    make_picture, encode_picture, format: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = make_picture(3, (120, 90))
    upright = ImageOps.exif_transpose(
        Image.open(io.BytesIO(encode_picture(image, "PNG", exif=exif)))
    )
    result = stored(encode_picture(image, format, exif=exif), 120)
    assert (result.original_width, result.original_height) == upright.size
    assert np.abs(pixels(result) - np.asarray(upright).astype(int)).mean() < 5


def test_faces_are_blurred_before_the_border(make_picture, encode_picture) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    body = encode_picture(Image.fromarray(noise), "PNG")
    config = DecodeConfig(resize_mode="border", format="png")
    result = decode_image(body, 120, config, [[0.0, 0.0, 0.4, 1.0]])
    assert isinstance(result, StoredImage)
    seen = pixels(result)
    assert seen[30:90, 10:40].std() < 30 < seen[30:90, 80:].std()
    assert seen[:14].min() == 255
    bad = decode_image(body, 120, config, [[0.0, float("nan"), 0.4, 1.0]])
    assert isinstance(bad, Refusal)


def test_rights_are_kept_and_no_metadata_is_stored(make_picture, encode_picture) -> None:
    exif = Image.Exif()
    exif[0x8298] = "a photographer"
    body = encode_picture(make_picture(), exif=exif)
    assert stored(body).rights.copyright == "a photographer"
    for config in (DecodeConfig(), DecodeConfig(format="png"), DecodeConfig(format="webp")):
        assert b"a photographer" not in stored(body, config=config).content


def test_what_is_not_an_image(make_jpeg) -> None:
    assert refusal(b"<html>no image</html>") == Reason.NOT_AN_IMAGE
    assert refusal(b'<svg xmlns="http://www.w3.org/2000/svg"/>') == Reason.NOT_AN_IMAGE
    assert refusal(b"") == Reason.NOT_AN_IMAGE
    assert refusal(b"\xff\xd8\xff") == Reason.TRUNCATED_IMAGE


@pytest.mark.parametrize("share", [50, 95])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_truncated_image_is_refused(
    make_picture, encode_picture, format: str, share: int
) -> None:
    body = encode_picture(make_picture(0, (300, 200)), format)
    assert isinstance(stored(body), StoredImage)
    assert refusal(body[: len(body) * share // 100]) == Reason.TRUNCATED_IMAGE


def test_a_truncated_progressive_jpeg_is_refused(make_picture, encode_picture) -> None:
    body = encode_picture(make_picture(0, (300, 200)), progressive=True)
    assert refusal(body[: len(body) // 2]) == Reason.TRUNCATED_IMAGE
    assert stored(body).width == 64


def test_a_bomb_is_refused_by_its_header(encode_picture) -> None:
    body = encode_picture(Image.new("1", (5000, 5000)), "PNG")
    assert refusal(body, DecodeConfig(max_pixels=1_000_000)) == Reason.TOO_MANY_PIXELS


def test_memory_is_counted_as_the_decoder_takes_it(make_picture, encode_picture) -> None:
    image = make_picture(0, (640, 480))
    config = DecodeConfig(max_decoded_bytes=500_000)
    # At 1/4 the pixels take 57 kB; the coefficients of a progressive file 922 kB at any scale.
    assert stored(encode_picture(image), config=config).width == 64
    assert refusal(encode_picture(image, progressive=True), config) == Reason.TOO_MANY_PIXELS
    assert refusal(encode_picture(image, "PNG"), config) == Reason.TOO_MANY_PIXELS
    assert refusal(encode_picture(image, "WEBP"), config) == Reason.TOO_MANY_PIXELS
    assert stored(encode_picture(image.convert("L"), "PNG"), config=config).width == 64


def test_a_36_megapixel_rgba_png_is_refused_by_default_and_a_photograph_is_not() -> None:
    assert refusal(blank_png(6000, 6000, 6)) == Reason.TOO_MANY_PIXELS
    assert refusal(blank_png(20_000, 20_000, 0)) == Reason.TOO_MANY_PIXELS
    subsampled = Header(
        format="jpeg",
        width=6000,
        height=6000,
        mode="RGB",
        pixel_bytes=3,
        coefficient_bytes=2 * 6000 * 6000 * 3 // 2,
    )
    assert decoded_bytes(subsampled, (256, 256)) < DecodeConfig().max_decoded_bytes


def test_a_picture_enlarged_beyond_the_memory_is_refused(encode_picture) -> None:
    body = encode_picture(Image.new("L", (400, 40)), "PNG")
    config = DecodeConfig(resize_mode="keep_ratio", only_if_bigger=False)
    assert stored(body, config=config).width == 640
    tight = DecodeConfig(resize_mode="keep_ratio", only_if_bigger=False, max_decoded_bytes=100_000)
    assert refusal(body, tight) == Reason.TOO_MANY_PIXELS


def test_a_banner_is_refused(make_jpeg) -> None:
    assert refusal(make_jpeg(0, (440, 40))) == Reason.BANNER
    assert stored(make_jpeg(0, (400, 40))).width == 64
    assert stored(make_jpeg(0, (440, 40)), config=DecodeConfig(max_aspect=0)).width == 64


def test_a_jpeg_of_absurdly_many_scans_is_refused(make_picture, encode_picture) -> None:
    body = encode_picture(make_picture(), progressive=True)
    start = body.rindex(b"\xff\xda")
    assert refusal(body[:-2] + 100 * body[start:-2] + body[-2:]) == Reason.DECODE_FAILED
    assert stored(body).width == 64


def test_a_tracking_pixel_is_refused(encode_picture) -> None:
    assert refusal(encode_picture(Image.new("RGB", (1, 1)), "GIF")) == Reason.IMAGE_TOO_SMALL


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_an_animation_is_refused_or_gives_its_first_frame(
    make_picture, encode_picture, format: str
) -> None:
    frames = [make_picture(1), make_picture(2)]
    options = {"lossless": True} if format == "WEBP" else {}
    body = encode_picture(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert refusal(body) == Reason.ANIMATED_IMAGE
    first = stored(body, 120, DecodeConfig(animation="first_frame", format="png"))
    alone = stored(encode_picture(frames[0], format, **options), 120, DecodeConfig(format="png"))
    assert np.abs(pixels(first) - pixels(alone)).mean() < 3
    assert alone.width == 120


def test_a_camera_file_with_a_second_view_is_a_jpeg(make_picture, encode_picture) -> None:
    views = [make_picture(1), make_picture(2)]
    body = encode_picture(views[0], "MPO", save_all=True, append_images=views[1:])
    assert np.abs(pixels(stored(body, 120)) - np.asarray(views[0]).astype(int)).mean() < 5


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_no_damage_raises_and_all_results_repeat(make_picture, encode_picture, format: str) -> None:
    frames = [make_picture(seed, (60, 40)) for seed in range(2)]
    more = {"save_all": True, "append_images": frames[1:]} if format in ("GIF", "TIFF") else {}
    whole = bytearray(encode_picture(frames[0], format, **more))
    rng = np.random.default_rng(0)
    damaged = [bytes(whole[:end]) for end in rng.integers(0, len(whole), 150)]
    for _ in range(250):
        flipped = whole.copy()
        for place in rng.integers(0, len(flipped), 3):
            flipped[place] ^= 1 << int(rng.integers(0, 8))
        damaged.append(bytes(flipped))
    config = DecodeConfig(animation="first_frame")
    results = [decode_image(body, 32, config) for body in damaged]
    assert all(isinstance(result, StoredImage | Refusal) for result in results)
    assert any(isinstance(result, Refusal) for result in results)
    kinds = [type(result) for result in results]
    assert [type(decode_image(body, 32, config)) for body in damaged] == kinds


def test_what_cannot_be_encoded_is_refused(encode_picture) -> None:
    config = DecodeConfig(resize_mode="keep_ratio", only_if_bigger=False, min_side=1, max_aspect=0)
    body = encode_picture(Image.new("L", (4000, 2)), "PNG")
    result = decode_image(body, 64, config)  # 128 000 × 64: more than a JPEG's side
    assert isinstance(result, Refusal)
    assert result.reason == Reason.DECODE_FAILED
