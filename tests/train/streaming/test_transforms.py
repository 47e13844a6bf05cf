import importlib.util
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision.transforms.functional as F
from PIL import Image
from skimage.metrics import structural_similarity
from torchvision.transforms import InterpolationMode

from diagonal_train.streaming.config import LoaderConfig
from diagonal_train.streaming.crop_boxes import (
    CROP_UNIFORMS,
    Box,
    aligned_box,
    center_box,
    random_box,
)
from diagonal_train.streaming.transforms import (
    DecodeError,
    center_crop,
    preprocess_for_eval,
    train_pixels,
)

SIZE = 224
CONFIGS = {
    "fast": LoaderConfig(),
    "pillow": LoaderConfig(decoder="pillow"),
    "square": LoaderConfig(transform="square"),
    "small boxes": LoaderConfig(crop_scale=(0.3, 1.0)),
}


def picture(width: int, height: int) -> Image.Image:
    """A smooth picture, so that ways of resizing agree."""
    y, x = np.mgrid[0:height, 0:width]
    channels = (255 * x / width, 255 * y / height, 127 * (1 + np.sin(x / width * 6)))
    return Image.fromarray(np.stack(channels, -1).astype(np.uint8))


def encode(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **{"quality": 95, **options})
    return buffer.getvalue()


def photo(name: str, short_side: int) -> bytes:
    """A JPEG of one of scikit-image's pictures."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    with Image.open(Path(spec.origin).parent / "data" / name) as image:
        scale = short_side / min(image.size)
        size = (round(image.width * scale), round(image.height * scale))
        return encode(image.convert("RGB").resize(size, Image.Resampling.BICUBIC), "JPEG")


def cropped(content: bytes, uniforms: list[float], name: str, size: int = SIZE) -> np.ndarray:
    out_HWC = np.full((size, size, 3), 77, np.uint8)
    train_pixels(content, out_HWC, uniforms, CONFIGS[name])
    return out_HWC


def torchvision_pixels(image: Image.Image, box: Box) -> np.ndarray:
    """open_clip's pixels for a box."""
    place, size = (box.top, box.left, box.height, box.width), [SIZE, SIZE]
    return np.asarray(F.resized_crop(image, *place, size, InterpolationMode.BICUBIC))  # pyright: ignore[reportArgumentType]  # torchvision takes Pillow images too


def draws(count: int) -> list[list[float]]:
    return np.random.default_rng(0).random((count, CROP_UNIFORMS)).tolist()


@pytest.mark.parametrize(("width", "height"), [(64, 48), (300, 200), (90, 700)])
def test_center_crop_is_pillow_crop_and_resize(width: int, height: int) -> None:
    image = picture(width, height)
    box = center_box(width, height)
    corners = (box.left, box.top, box.left + box.width, box.top + box.height)
    expected = image.resize((48, 48), Image.Resampling.BICUBIC, box=corners)
    for form, tolerance in (("PNG", 0), ("JPEG", 8)):
        difference = center_crop(encode(image, form), 48).astype(int) - np.asarray(expected)
        assert np.abs(difference).max() <= tolerance


def test_eval_pixels_are_channels_first() -> None:
    pixels = preprocess_for_eval(32)(encode(picture(64, 64), "JPEG"))
    assert (pixels.shape, pixels.dtype) == ((3, 32, 32), np.uint8)


def test_transparent_pixels_become_white() -> None:
    image = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    assert center_crop(encode(image, "PNG"), 8).min() == 255


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_modes_become_rgb(mode: str) -> None:
    content = encode(picture(64, 64).convert(mode), "JPEG")
    assert center_crop(content, 16).shape == (16, 16, 3)


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"\xff\xd8\xff", encode(picture(64, 64), "JPEG")[:500]]
)
def test_bytes_that_are_no_whole_image_are_refused(content: bytes) -> None:
    with pytest.raises(DecodeError):
        center_crop(content, 16)


PHOTOS = ["astronaut.png", "rocket.jpg", "retina.jpg", "hubble_deep_field.jpg"]


@pytest.mark.parametrize("name", ["fast", "square", "small boxes"])
@pytest.mark.parametrize("short_side", [256, 512, 1024])
def test_fast_pixels_are_near_open_clips_for_the_same_box(short_side: int, name: str) -> None:
    differences, similarities = [], []
    for file in PHOTOS:
        content = photo(file, short_side)
        image = Image.open(io.BytesIO(content))
        for uniforms in draws(2):
            box = random_box(*image.size, uniforms, CONFIGS[name])
            expected = torchvision_pixels(image, aligned_box(box, *image.size, SIZE)[0])
            got = cropped(content, uniforms, name)
            differences.append(np.abs(got.astype(int) - expected).mean())
            similarities.append(structural_similarity(got, expected, channel_axis=2))
    assert np.mean(differences) <= 1.5
    assert np.mean(similarities) >= 0.99
    assert min(similarities) >= 0.96


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(("width", "height"), [(300, 200), (150, 100), (90, 700), (900, 800)])
def test_the_pillow_decoder_gives_open_clips_pixels(width: int, height: int, form: str) -> None:
    content = encode(picture(width, height), form)
    for uniforms in draws(4):
        image = Image.open(io.BytesIO(content)).convert("RGB")
        box = random_box(width, height, uniforms, CONFIGS["pillow"])
        box = aligned_box(box, width, height, SIZE)[0]
        assert np.array_equal(cropped(content, uniforms, "pillow"), torchvision_pixels(image, box))


def test_only_the_slot_given_is_written() -> None:
    batch_BHWC = np.full((3, SIZE, SIZE, 3), 7, np.uint8)
    content = encode(picture(300, 200), "JPEG")
    train_pixels(content, batch_BHWC[1], draws(1)[0], CONFIGS["fast"])
    assert np.array_equal(batch_BHWC[1], cropped(content, draws(1)[0], "fast"))
    assert (batch_BHWC[[0, 2]] == 7).all()


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 2), (8, 8)])
def test_odd_shapes_become_a_square(size: tuple[int, int], name: str) -> None:
    for form in ("JPEG", "PNG"):
        pixels = cropped(encode(Image.new("RGB", size, "navy"), form), draws(1)[0], name, 32)
        assert np.abs(pixels.astype(int) - (0, 0, 128)).max() <= 3


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_jpeg_modes_are_decoded_as_pillow_does(mode: str) -> None:
    content = encode(picture(300, 300).convert(mode), "JPEG")
    fast, pillow = (cropped(content, draws(1)[0], name) for name in ("fast", "pillow"))
    assert np.abs(fast.astype(int) - pillow).mean() <= 1.5


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_white_when_fast_and_dropped_as_by_open_clip(mode: str) -> None:
    clear = Image.new("RGBA", (40, 40), (0, 0, 0, 0)).convert(mode)
    content = encode(clear, "PNG", **({"transparency": 0} if mode == "P" else {}))
    assert cropped(content, draws(1)[0], "fast").min() == 255
    assert cropped(content, draws(1)[0], "pillow").max() == 0


def test_16_bit_grey_keeps_its_shades() -> None:
    deep = np.tile(np.linspace(0, 65_535, 256).astype(np.uint16), (256, 1))
    pixels = cropped(encode(Image.fromarray(deep), "PNG"), draws(1)[0], "fast")
    assert 100 < pixels.mean() < 155
    assert pixels.std() > 50


def test_exif_orientation_turns_nothing() -> None:
    image = picture(300, 200)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned, plain = encode(image, "JPEG", exif=exif), encode(image, "JPEG")
    for name in CONFIGS:
        as_coded = cropped(plain, draws(1)[0], name)
        assert np.array_equal(cropped(turned, draws(1)[0], name), as_coded)


def test_harmless_oddities_of_a_jpeg_are_decoded() -> None:
    content = encode(picture(300, 200), "JPEG")
    assert content[6:11] == b"JFIF\0"
    unknown_revision = content[:11] + b"\x03" + content[12:]
    difference = cropped(unknown_revision, draws(1)[0], "fast").astype(int) - cropped(
        content, draws(1)[0], "pillow"
    )
    assert np.abs(difference).mean() <= 1


def whole_files() -> dict[str, bytes]:
    image = picture(120, 100)
    forms = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
    return {form: encode(image, form) for form in forms}


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("name", ["fast", "pillow"])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "AVIF"])
def test_truncated_files_are_refused(form: str, name: str) -> None:
    content = whole_files()[form]
    assert cropped(content, draws(1)[0], name).std() > 0
    for length in (0, 1, 20, len(content) // 2):
        with pytest.raises(DecodeError):
            cropped(content[:length], draws(1)[0], name)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("name", ["fast", "pillow"])
@pytest.mark.parametrize("form", list(whole_files()))
def test_damage_of_any_kind_is_a_decode_error_or_an_image(form: str, name: str) -> None:
    rng = np.random.default_rng(0)
    refused = 0
    whole = whole_files()[form]
    for _ in range(100):
        content = bytearray(whole)
        for place in rng.integers(0, 200, 4):
            content[place] = rng.integers(256)
        try:
            cropped(bytes(content), draws(1)[0], name, 16)
        except DecodeError:
            refused += 1
    assert refused > 0


@pytest.mark.parametrize("name", ["fast", "pillow"])
def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(name: str) -> None:
    jpeg = bytearray(encode(picture(16, 16), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 60_000, 60_000)
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    png += struct.pack(">I", zlib.crc32(chunk)) + struct.pack(">I", 0) + b"IDAT"
    for content in (bytes(jpeg), png):
        with pytest.raises(DecodeError, match=r"60000×60000|3600000000"):
            cropped(content, draws(1)[0], name)


def test_postscript_starts_no_program() -> None:
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    for name in ("fast", "pillow"):
        with pytest.raises(DecodeError):
            cropped(postscript, draws(1)[0], name)
