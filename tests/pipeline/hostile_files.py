"""Pictures and files that are wrong in one way each, made in code."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def photo(mode: str = "RGB", size: tuple[int, int] = (96, 64)) -> Image.Image:
    """A smooth picture whose quarters differ, so that turning it shows."""
    coarse = np.random.default_rng(7).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    """The image's file."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def turned(orientation: int) -> bytes:
    """A JPEG whose EXIF says how it must be turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(photo(), "JPEG", exif=exif)


def animation(format: str) -> bytes:
    """Three frames."""
    frames = [photo().rotate(angle) for angle in (0, 90, 180)]
    return saved(frames[0], format, save_all=True, append_images=frames[1:], duration=100)


def png_bomb(side: int, channels: int) -> bytes:
    """A PNG of side × side zeros: real rows, packed a thousandfold."""
    colour = {1: 0, 4: 6}[channels]
    packer = zlib.compressobj(1)
    row = bytes(1 + side * channels)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def jpeg_bomb(side: int) -> bytes:
    """A small JPEG whose header claims side × side."""
    content = saved(photo(), "JPEG")
    frame = content.index(b"\xff\xc0") + 5
    return content[:frame] + struct.pack(">HH", side, side) + content[frame + 4 :]


def pictures() -> dict[str, tuple[bytes, str | None]]:
    """Name → (file, reason or None for what becomes a sample)."""
    jpeg, png, webp = (saved(photo(), kind) for kind in ("JPEG", "PNG", "WEBP"))
    deep = Image.fromarray(np.linspace(0, 65535, 96 * 64).reshape(64, 96).astype(np.uint16))
    clear = photo("RGBA")
    clear.putalpha(0)
    found: dict[str, tuple[bytes, str | None]] = {
        "good jpeg": (jpeg, None),
        "good png": (png, None),
        "good webp": (webp, None),
        "cmyk": (saved(photo("CMYK"), "JPEG"), None),
        "16 bit": (saved(deep, "PNG"), None),
        "grey": (saved(photo("L"), "JPEG"), None),
        "bilevel": (saved(photo("1"), "PNG"), None),
        "palette": (saved(photo("P"), "PNG"), None),
        "transparent": (saved(clear, "PNG"), "transparent_image"),
        "one pixel": (saved(photo(size=(1, 1)), "PNG"), "image_too_small"),
        "banner": (saved(photo(size=(640, 32)), "PNG"), "banner"),
        "animated gif": (animation("GIF"), "animated_image"),
        "animated webp": (animation("WEBP"), "animated_image"),
        "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not_an_image"),
        "html": (b"<!doctype html><title>Sign in</title>", "not_an_image"),
        "png bomb": (png_bomb(20_000, 1), "too_many_pixels"),
        "rgba bomb": (png_bomb(6_000, 4), "too_many_pixels"),
        "jpeg bomb": (jpeg_bomb(20_000), "too_many_pixels"),
    }
    for name, content in (("jpeg", jpeg), ("png", png), ("webp", webp)):
        for percent in (50, 95):
            cut = content[: len(content) * percent // 100]
            found[f"{name} cut at {percent} %"] = (cut, "truncated_image")
    found |= {f"exif {n}": (turned(n), None) for n in range(1, 9)}
    return found
