"""What the report shows besides numbers: sample sheets, similarity matrices, the loss curve.

Shape suffixes: N pictures or labels, K best classes, D embedding width.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diagonal_eval.charts import thumbnail
from diagonal_eval.dataset import Dataset, iterate_images
from diagonal_eval.demo_tasks import Drawing
from diagonal_eval.embed import Encoder, embed_images, embed_texts
from diagonal_eval.results import TaskResult
from diagonal_eval.training_data import TrainingData
from diagonal_eval.zeroshot import normalise
from diagonal_infra import storage

THUMBNAIL_SIDE = 112
NUM_GUESSES = 3


@dataclass(frozen=True, kw_only=True)
class SheetPicture:
    """A picture of a sample sheet; `guesses` are empty where nothing was asked."""

    jpeg: bytes | None
    caption: str
    uid: str
    style: str = ""
    guesses: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SimilarityMatrices:
    """Cosines of the same N pictures (rows) and labels (columns) before and after training."""

    before_NN: NDArray[np.float32]
    after_NN: NDArray[np.float32]
    step: int
    source: str


@dataclass(frozen=True, kw_only=True)
class LossPoint:
    """One line of metrics.jsonl."""

    step: int
    samples_seen: int
    loss: float


def kept_sheet(training: TrainingData, *, count: int, seed: int) -> list[SheetPicture]:
    """Kept samples drawn at random, with the captions they train with."""
    chosen = training.samples(draw(len(training.kept), count, seed))
    images = iterate_images(training.dataset, chosen)
    return [
        SheetPicture(jpeg=thumbnail(image, THUMBNAIL_SIDE), caption=sample.caption, uid=sample.uid)
        for sample, image in zip(chosen, images, strict=True)
    ]


def held_out_sheet(
    dataset: Dataset,
    drawings: Sequence[Drawing],
    results: Sequence[TaskResult],
    *,
    count: int,
    seed: int,
) -> list[SheetPicture]:
    """Held-out drawings drawn at random, right and wrong alike, with the model's first guesses."""
    answers = [
        (drawings[index], [result.task.class_names[best] for best in top])
        for result in results
        if result.task.held_out_style
        for index, top in zip(result.task.drawings_N, result.ensemble.top_NK, strict=True)
    ]
    chosen = [answers[index] for index in draw(len(answers), count, seed)]
    images = iterate_images(dataset, [drawing.sample for drawing, _ in chosen])
    return [
        SheetPicture(
            jpeg=thumbnail(image, THUMBNAIL_SIDE),
            caption=drawing.truth.label,
            uid=drawing.sample.uid,
            style=drawing.truth.style,
            guesses=tuple(guesses[:NUM_GUESSES]),
        )
        for (drawing, guesses), image in zip(chosen, images, strict=True)
    ]


def similarity_matrices(
    dataset: Dataset,
    drawings: Sequence[Drawing],
    *,
    before: Encoder,
    after: Encoder,
    count: int,
    seed: int,
) -> SimilarityMatrices:
    """The same drawings of one held-out style under both encoders, alike concepts side by side."""
    pairs = pairs_for(drawings, count, seed)
    images = list(iterate_images(dataset, [drawing.sample for drawing in pairs]))
    texts = [drawing.truth.label for drawing in pairs]

    def cosines(encoder: Encoder) -> NDArray[np.float32]:
        images_ND = normalise(embed_images(encoder, images, count))
        return images_ND @ normalise(embed_texts(encoder, texts, count)).T

    return SimilarityMatrices(
        before_NN=cosines(before),
        after_NN=cosines(after),
        step=after.step,
        source=pairs[0].truth.style,
    )


def pairs_for(drawings: Sequence[Drawing], count: int, seed: int) -> list[Drawing]:
    """Drawings of the first held-out style, one per label, seen concepts if there are any."""
    held_out = [drawing for drawing in drawings if drawing.truth.held_out_style]
    style = min(drawing.truth.style for drawing in held_out)
    of_style = [drawing for drawing in held_out if drawing.truth.style == style]
    seen = [drawing for drawing in of_style if not drawing.truth.held_out_concept]
    by_label = {drawing.truth.label: drawing for drawing in seen or of_style}
    pool = list(by_label.values())
    chosen = [pool[index] for index in draw(len(pool), count, seed)]
    return sorted(chosen, key=lambda drawing: (drawing.truth.group, drawing.truth.hexcode))


def draw(size: int, count: int, seed: int) -> list[int]:
    """`count` indexes below `size` at random, rising; all of them if there are fewer."""
    chosen = np.random.default_rng(seed).permutation(size)[:count]
    return sorted(int(index) for index in chosen)


def read_loss_curve(run: str) -> list[LossPoint]:
    """The finite losses of RUN/metrics.jsonl; of a step logged twice (resumed) the later one."""
    path = storage.join(run, "metrics.jsonl")
    if not storage.exists(path):
        return []
    points: dict[int, LossPoint] = {}
    for line in storage.read_bytes(path).decode().splitlines():
        try:
            record = json.loads(line)
            point = LossPoint(
                step=int(record["step"]),
                samples_seen=int(record["samples_seen"]),
                loss=float(record["loss"]),
            )
        except (ValueError, KeyError, TypeError):
            # A killed run can leave a cut last line; other kinds of lines carry no loss.
            continue
        if math.isfinite(point.loss):
            points[point.step] = point
    return [points[step] for step in sorted(points)]
