"""Decoded batches of an evaluation set: in its order for measuring, shuffled for training.

Shape suffixes: B samples, C colours, H and W pixels.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diagonal_eval.embed import Encoder
from diagonal_eval.evalset import EvalSet
from diagonal_train.streaming.config import LoaderConfig
from diagonal_train.streaming.crop_boxes import CROP_UNIFORMS
from diagonal_train.streaming.normalise import normalised
from diagonal_train.streaming.open_clip_pixels import preprocess_as_open_clip
from diagonal_train.streaming.transforms import train_pixels

DECODE_THREADS = 4
Decode = Callable[[tuple[int, bytes]], NDArray[np.uint8] | None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """The readable ones of some pictures."""

    rows_B: NDArray[np.int64]
    images_BCHW: Tensor
    """Normalised, on the encoder's device."""


def batches_in_order(encoder: Encoder, evalset: EvalSet, batch_size: int) -> Iterator[Batch]:
    """Every picture once, with the very pixels that zero-shot evaluation has."""
    preprocess = preprocess_as_open_clip(encoder.image_size, encoder.resize)
    rows = np.arange(len(evalset.keys))
    return _batches(encoder, evalset, rows, batch_size, lambda item: preprocess(item[1]))


def shuffled_batches(
    encoder: Encoder, evalset: EvalSet, batch_size: int, *, seed: int, epoch: int
) -> Iterator[Batch]:
    """One pass in random order, each picture cropped at random as in pretraining.

    Order and crops are a function of seed and epoch.
    """
    rng = np.random.default_rng((seed, epoch))
    rows = rng.permutation(len(evalset.keys))
    uniforms = rng.random((len(rows), CROP_UNIFORMS))
    crops, size = LoaderConfig(), encoder.image_size

    def decode(item: tuple[int, bytes]) -> NDArray[np.uint8]:
        pixels_HWC = np.empty((size, size, 3), np.uint8)
        train_pixels(item[1], pixels_HWC, uniforms[item[0]], crops)
        return pixels_HWC.transpose(2, 0, 1)

    return _batches(encoder, evalset, rows, batch_size, decode)


def batches_per_pass(evalset: EvalSet, batch_size: int) -> int:
    """How many `shuffled_batches` gives, those without a readable picture included."""
    return math.ceil(len(evalset.keys) / batch_size)


def _batches(
    encoder: Encoder,
    evalset: EvalSet,
    rows: NDArray[np.int64],
    batch_size: int,
    decode: Callable[[tuple[int, bytes]], NDArray[np.uint8]],
) -> Iterator[Batch]:
    def attempt(item: tuple[int, bytes]) -> NDArray[np.uint8] | None:
        try:
            return decode(item) if item[1] else None
        except ValueError:
            return None

    with ThreadPoolExecutor(DECODE_THREADS) as pool:
        for start in range(0, len(rows), batch_size):
            rows_B = rows[start : start + batch_size]
            contents = evalset.read([int(row) for row in rows_B])
            found = list(pool.map(attempt, enumerate(contents, start)))
            yield _as_batch(encoder, rows_B, found)


def _as_batch(
    encoder: Encoder, rows_B: NDArray[np.int64], found: Sequence[NDArray[np.uint8] | None]
) -> Batch:
    readable = [pixels for pixels in found if pixels is not None]
    size = encoder.image_size
    pixels_BCHW = np.stack(readable) if readable else np.zeros((0, 3, size, size), np.uint8)
    return Batch(
        rows_B=rows_B[[pixels is not None for pixels in found]],
        images_BCHW=normalised(
            torch.from_numpy(pixels_BCHW).to(encoder.device), mean=encoder.mean, std=encoder.std
        ),
    )
