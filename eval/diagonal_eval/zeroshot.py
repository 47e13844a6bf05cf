"""Zero-shot classification: class names become a classifier, pictures are put to it.

    prompts of a class (T templates) → text embeddings → normalise → mean → normalise → one row

Logits are cosines in fp32: under bf16 autocast, as CLIP_benchmark has it, neighbouring classes tie.
The temperature changes no ranking and is left out.

As a command this module classifies pictures by labels that are typed: see classify/command.py.

Shape suffixes: N pictures, C classes, T templates, P prompts (C×T), K best, D embedding width.
"""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diagonal_eval.intervals import Rate

Floats = NDArray[np.float32]
EmbedTexts = Callable[[Sequence[str]], NDArray[np.floating]]
"""Texts in, one embedding per text out, in order; normalised or not."""

BARE_LABEL = ("{}",)
"""The template of the class name on its own."""
CHUNK_ROWS = 4096
"""Pictures whose logits are held in memory at once."""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """For each picture the best classes, best first, and where the right one came in."""

    top_NK: NDArray[np.int64]
    """Class indexes; K is 5, or the number of classes if that is smaller."""
    rank_N: NDArray[np.int64]
    """0 if the right class is the best. Of classes that tie the first comes first, as everywhere:
    sets have two classes of one name. NaN and pictures without an embedding are wrong."""

    def accuracy(self, k: int) -> Rate:
        """Share of the pictures whose right class is among the k best."""
        return Rate(successes=int((self.rank_N < k).sum()), n=len(self.rank_N))


def normalise(rows: NDArray[np.floating]) -> Floats:
    """Rows of length one in fp32; a row of zeros stays zeros."""
    rows_ND = rows.astype(np.float32)
    length_N1 = np.linalg.norm(rows_ND, axis=1, keepdims=True)
    return (rows_ND / np.where(length_N1 > 0, length_N1, 1)).astype(np.float32, copy=False)


def fill_template(template: str, class_name: str) -> str:
    """The prompt; unlike `str.format` it leaves other braces alone."""
    return template.replace("{}", class_name)


def prompts_for(class_names: Sequence[str], templates: Sequence[str]) -> list[str]:
    """Every prompt of a classifier, all templates of a class together."""
    return [fill_template(template, name) for name in class_names for template in templates]


def build_classifier(
    embed_texts: EmbedTexts, class_names: Sequence[str], templates: Sequence[str]
) -> Floats:
    """One row per class: the normalised mean of its normalised prompt embeddings."""
    prompts_PD = normalise(embed_texts(prompts_for(class_names, templates)))
    prompts_CTD = prompts_PD.reshape(len(class_names), len(templates), -1)
    return normalise(prompts_CTD.mean(axis=1))


def predict(
    images_ND: NDArray[np.floating], classifier_CD: Floats, truth_N: NDArray[np.int64]
) -> Predictions:
    """The five best classes of every picture and the rank of the right one.

    A picture without an embedding (zeros) ties with every class; it counts as wrong.
    """
    parts = []
    for start in range(0, max(len(images_ND), 1), CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        parts.append(rank_logits(normalise(images_ND[rows]) @ classifier_CD.T, truth_N[rows]))
    return Predictions(
        top_NK=np.concatenate([part.top_NK for part in parts]),
        rank_N=np.concatenate([part.rank_N for part in parts]),
    )


def rank_logits(logits_NC: NDArray[np.floating], truth_N: NDArray[np.int64]) -> Predictions:
    """The five best classes of every row and the rank of the right one; a row of zeros is wrong."""
    own_N1 = np.take_along_axis(logits_NC, truth_N[:, None], axis=1)
    num_classes = logits_NC.shape[1]
    # Not `>=`: nothing is at least NaN, so a broken model would always be right.
    not_below_NC = ~(logits_NC < own_N1)
    tied_behind_NC = (logits_NC == own_N1) & (np.arange(num_classes) > truth_N[:, None])
    rank_N = (not_below_NC & ~tied_behind_NC).sum(axis=1) - 1
    return Predictions(
        top_NK=np.argsort(-logits_NC, axis=1, kind="stable")[:, : min(5, num_classes)],
        rank_N=np.where(logits_NC.any(axis=1), rank_N, num_classes),
    )


def main() -> None:
    """`python -m diagonal_eval.zeroshot classify …`; torch is loaded only here."""
    importlib.import_module("diagonal_eval.classify.command").run()


if __name__ == "__main__":
    main()
