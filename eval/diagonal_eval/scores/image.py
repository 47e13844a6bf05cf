"""What a picture as stored is like, without a model.

phash           64-bit perceptual hash, as in the row table (diagonal_data.phash)
pixel_sha256    of width, height and the decoded RGB bytes: equal for equal pixels, however coded
sharpness       variance of the Laplacian of the grey picture with a shorter side of 256 pixels
entropy         bits of its grey values' histogram, 0–8: of one colour, 0
aspect          longer side by shorter side, from 1

The row table's phash is of the pixels before they were coded as JPEG; this one is of what is read
now, for datasets without. Sharpness is of one scale, so that it does not depend on the size stored,
but on all that has edges: noise and print are sharp too.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from diagonal_data.phash import phash
from diagonal_eval.dataset import StoredSample
from diagonal_eval.scores.config import ImageConfig
from diagonal_eval.scores.scorer import Scored, Scorer
from diagonal_train.streaming.transforms import whole_image

SCHEMA = pa.schema(
    [
        ("phash", pa.uint64()),
        ("pixel_sha256", pa.string()),
        ("sharpness", pa.float32()),
        ("entropy", pa.float32()),
        ("aspect", pa.float32()),
    ]
)
SHORTER_SIDE = 256
"""Pixels at which sharpness is taken."""


def build(_config: ImageConfig) -> Scorer:
    """The scorer; it measures in the decoding threads, since there is no model to wait."""
    return Scorer(schema=SCHEMA, digest="image 1", batch_size=256, prepare=measure, score=score)


def score(_samples: Sequence[StoredSample], measured: Sequence[dict[str, Any]]) -> Scored:
    """Columns of what was measured one by one."""
    return Scored(columns={name: [each[name] for each in measured] for name in SCHEMA.names})


def measure(content: bytes) -> dict[str, Any]:
    """The columns of one encoded picture; raises ValueError if it cannot be decoded."""
    pixels = whole_image(content)
    height, width = pixels.shape[:2]
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return {
        "phash": phash(pixels),
        "pixel_sha256": pixel_sha256(pixels),
        "sharpness": sharpness(grey),
        "entropy": entropy(grey),
        "aspect": max(height, width) / min(height, width),
    }


def pixel_sha256(pixels: np.ndarray) -> str:
    """Of the size, which the bytes do not tell, and the pixels row by row."""
    height, width = pixels.shape[:2]
    digest = hashlib.sha256(f"{width} {height} ".encode())
    digest.update(pixels.tobytes())
    return digest.hexdigest()


def sharpness(grey: np.ndarray) -> float:
    """Variance of the Laplacian of rows × columns bytes, at one scale."""
    height, width = grey.shape
    scale = SHORTER_SIDE / min(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrinks = scale < 1
    scaled = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return float(cv2.Laplacian(scaled, cv2.CV_32F).var())


def entropy(grey: np.ndarray) -> float:
    """Bits of the histogram of bytes."""
    counts = np.bincount(grey.ravel(), minlength=256)
    shares = counts[counts > 0] / grey.size
    return float(-(shares * np.log2(shares)).sum()) + 0.0
