"""Zero-shot accuracy on the demo's held-out styles, asked alike of all kinds of models.

The seen concepts are dealt into LISTS lists of names, and every drawing is judged against the names
of its own list: caption prediction has to read every name for every drawing, and with all of them
would take longer to judge than to train. Models that give a vector are judged against all, too.

Models that predict words favour frequent ones. So each measure stands there twice: by the score,
and `_centred`, by how far the score is above the mean score of that name over the drawings.

Shape suffixes: N drawings, C class names, H and W pixels, D features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diagonal_eval.dataset import iterate_images, open_dataset, read_all_samples
from diagonal_eval.demo_tasks import match_drawings, plan_tasks, read_labels
from diagonal_infra.errors import UserError
from diagonal_train.streaming.normalise import normalised
from diagonal_train.streaming.transforms import preprocess_for_eval

LISTS = 10
CONCEPTS, DRAWINGS, KEPT = 1432, 2864, 6499
"""Of the demo: seen concepts, drawings of these in held-out styles, samples to train on."""
CHUNK = 256


class Scorer(Protocol):
    """A trained model that can be asked which name fits a picture."""

    judges_all: bool
    """Whether it can be asked for all names at once."""

    def features(self, images_NCHW: Tensor) -> Tensor:
        """What it makes of normalised pictures, N×D."""
        ...

    def scores(self, features_ND: Tensor, names: Sequence[str]) -> Tensor:
        """How well each name fits each picture, N×C."""
        ...


@dataclass(frozen=True, kw_only=True)
class Question:
    """Some drawings and the names offered for them."""

    names: tuple[str, ...]
    rows_N: NDArray[np.int64]
    """Indexes into the exam's images."""
    truth_N: NDArray[np.int64]
    """Indexes into `names`."""


@dataclass(frozen=True, kw_only=True)
class Exam:
    """Drawings of the held-out styles with all that is asked about them."""

    images_NCHW: Tensor
    """uint8."""
    lists: tuple[Question, ...]
    everything: Question


def read_exam(demo: str, image_size: int) -> Exam:
    """The exam out of a folder of `make demo`.

    Raises:
        UserError: the demo is not the one that the pages speak of.
    """
    labels, dataset = read_labels(f"{demo}/web/labels.parquet"), open_dataset(f"{demo}/dataset")
    drawings = match_drawings(labels, read_all_samples(dataset))
    tasks = [
        task
        for task in plan_tasks(labels, drawings)
        if task.held_out_style and task.concepts == "seen"
    ]
    chosen = np.concatenate([task.drawings_N for task in tasks])
    found = len(tasks[0].class_names), len(chosen)
    if found != (CONCEPTS, DRAWINGS):
        raise UserError(
            f"{demo!r} has {found[0]} seen concepts in {found[1]} drawings of held-out styles, and "
            f"the pages of this benchmark speak of {CONCEPTS} in {DRAWINGS}; run 'make demo' anew"
        )
    preprocess = preprocess_for_eval(image_size)
    images = iterate_images(dataset, [drawings[index].sample for index in chosen])
    return plan_exam(
        torch.from_numpy(np.stack([preprocess(image) for image in images])),
        np.concatenate([task.truth_N for task in tasks]),
        tasks[0].class_names,
    )


def plan_exam(images_NCHW: Tensor, truth_N: NDArray[np.int64], names: Sequence[str]) -> Exam:
    """The questions: concept i goes to list i modulo LISTS."""
    lists = []
    for number in range(min(LISTS, len(names))):
        rows_N = np.flatnonzero(truth_N % LISTS == number)
        own = tuple(names[number::LISTS])
        lists.append(Question(names=own, rows_N=rows_N, truth_N=truth_N[rows_N] // LISTS))
    everything = Question(names=tuple(names), rows_N=np.arange(len(truth_N)), truth_N=truth_N)
    return Exam(images_NCHW=images_NCHW, lists=tuple(lists), everything=everything)


def judge(scorer: Scorer, exam: Exam) -> dict[str, float]:
    """Shares of the drawings whose own name came first, or among the first five."""
    with torch.inference_mode():
        features_ND = torch.cat(
            [scorer.features(normalised(part)) for part in exam.images_NCHW.split(CHUNK)]
        )
        marks = _accuracies(scorer, features_ND, exam.lists, "")
        if scorer.judges_all:
            marks |= _accuracies(scorer, features_ND, (exam.everything,), "_of_all")
    return marks


def _accuracies(
    scorer: Scorer, features_ND: Tensor, questions: Sequence[Question], suffix: str
) -> dict[str, float]:
    plain, centred = [], []
    for question in questions:
        scores_NC = scorer.scores(features_ND[question.rows_N], question.names)
        truth_N = torch.from_numpy(question.truth_N)
        plain.append(ranks(scores_NC, truth_N))
        centred.append(ranks(scores_NC - scores_NC.mean(0), truth_N))
    marks = {}
    for kind, found in (("", torch.cat(plain)), ("_centred", torch.cat(centred))):
        for best in (1, 5):
            marks[f"top{best}{suffix}{kind}"] = (found < best).float().mean().item()
    return marks


def ranks(scores_NC: Tensor, truth_N: Tensor) -> Tensor:
    """Where the right name came in, 0 if it scored strictly best; ties and NaN count against it."""
    own_N1 = scores_NC.gather(1, truth_N[:, None])
    return (~(scores_NC < own_N1)).sum(1) - 1
