"""Decode + resize + encode from memory on one core: what no downloader can go below.

    python fetch_limits.py FOLDER    one file name a line on stdin → JSON on stdout

Every engine makes a JPEG of quality 95 whose short side is 256. The stock ones are what a few lines
around a library give: no EXIF orientation, no colour profile, no check for truncation.
"""

import io
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# It is read when albumentations is imported, which otherwise asks the internet for a newer version.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import cv2
import numpy as np
import simplejpeg
from img2dataset.resizer import Resizer
from PIL import Image

from diagonal_data.config import DecodeConfig
from diagonal_data.decode import decode_image

SIDE, QUALITY = 256, 95
REPEATS = 3
REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
JPEG_MAGIC = b"\xff\xd8"
STOCK = ("cv2 reduced decode", "simplejpeg scaled decode", "PIL draft")
Engine = Callable[[bytes], Any]


def target_size(width: int, height: int) -> tuple[int, int]:
    """Width and height with a short side of `SIDE`."""
    scale = SIDE / min(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _resized_cv2(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    size = target_size(width, height)
    if size == (width, height):
        return pixels
    kernel = cv2.INTER_AREA if size[0] < width else cv2.INTER_LANCZOS4
    return cv2.resize(pixels, size, interpolation=kernel)


def _decoded_cv2(body: bytes, flag: int) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(body, np.uint8), flag)
    assert pixels is not None, "every file of the corpus can be decoded"
    return pixels


def by_cv2(body: bytes) -> bytes:
    """OpenCV, JPEG decoded at 1/2, 1/4 or 1/8 where that is still large enough."""
    factor = 1
    if body.startswith(JPEG_MAGIC):
        height, width = map(int, simplejpeg.decode_jpeg_header(body)[:2])
        factor = next(f for f in (8, 4, 2, 1) if f == 1 or min(width, height) // f >= SIDE)
    pixels = _resized_cv2(_decoded_cv2(body, REDUCED[factor]))
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


def by_simplejpeg(body: bytes) -> bytes:
    """libjpeg-turbo's n/8 scaling and its encoder; OpenCV for the rest."""
    if body.startswith(JPEG_MAGIC):
        pixels = simplejpeg.decode_jpeg(body, "BGR", min_width=SIDE, min_height=SIDE)
    else:
        pixels = _decoded_cv2(body, cv2.IMREAD_COLOR)
    small = np.ascontiguousarray(_resized_cv2(pixels))
    return simplejpeg.encode_jpeg(small, QUALITY, "BGR", "420")


def by_pil(body: bytes) -> bytes:
    """Pillow with draft mode."""
    with Image.open(io.BytesIO(body)) as image:
        size = target_size(*image.size)
        image.draft("RGB", size)
        pixels = image.convert("RGB")
    kernel = Image.Resampling.BOX if size[0] < pixels.width else Image.Resampling.LANCZOS
    buffer = io.BytesIO()
    pixels.resize(size, kernel, reducing_gap=2.0).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def engines() -> dict[str, Engine]:
    """Ours, the peer's, and the stock ones, by the names of the table."""
    resizer = Resizer(SIDE, "keep_ratio", False, encode_quality=QUALITY)
    config = DecodeConfig(resize_mode="keep_ratio", only_if_bigger=False, quality=QUALITY)
    stock = dict(zip(STOCK, (by_cv2, by_simplejpeg, by_pil), strict=True))
    return {
        "diagonal decode_image": lambda body: decode_image(body, SIDE, config),
        "img2dataset Resizer": lambda body: resizer(io.BytesIO(body)),
        **stock,
    }


def milliseconds(engine: Engine, bodies: Sequence[bytes]) -> list[float]:
    """CPU time of this process for each body."""
    taken = []
    for body in bodies:
        before = time.process_time()
        engine(body)
        taken.append(1000 * (time.process_time() - before))
    return taken


def measure_limits(paths: Sequence[Path]) -> dict[str, dict[str, float]]:
    """CPU ms per image of each engine, `all` and by ending: the median of `REPEATS` passes."""
    bodies = [path.read_bytes() for path in paths]
    endings = [path.suffix[1:] for path in paths]
    found, passes = engines(), {}
    for engine in found.values():
        milliseconds(engine, bodies[:10])
    for _ in range(REPEATS):
        for name, engine in found.items():
            passes.setdefault(name, []).append(milliseconds(engine, bodies))
    return {name: _summary(np.array(taken), endings) for name, taken in passes.items()}


def _summary(taken: np.ndarray, endings: Sequence[str]) -> dict[str, float]:
    kinds = {"all": np.ones(len(endings), bool)}
    kinds |= {ending: np.array(endings) == ending for ending in sorted(set(endings))}
    return {
        kind: round(statistics.median(taken[:, mask].mean(axis=1)), 3)
        for kind, mask in kinds.items()
    }


def main() -> None:
    """Measure the files named on stdin, on the first core this process may use."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    folder = Path(sys.argv[1])
    print(json.dumps(measure_limits([folder / name for name in sys.stdin.read().split()])))


if __name__ == "__main__":
    main()
