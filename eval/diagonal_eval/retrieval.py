"""Image–text retrieval: recall@k, exact, with any number of right answers per query.

A query is a hit at k if any right item is among the k best. Wrong items with an equal score or NaN
count as better, so a model that gives all items one score, or none, has recall 0.

As a command this module searches a dataset and exports its embeddings: see search/command.py.

Shape suffixes: N pictures, M distinct captions, Q queries, G gallery items, D embedding width.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diagonal_eval.intervals import Rate
from diagonal_eval.zeroshot import normalise

RECALL_AT = (1, 5, 10)
CHUNK_ROWS = 1024
"""Queries whose scores are held in memory at once."""


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """Recall@k in both directions."""

    image_to_text: dict[int, Rate]
    text_to_image: dict[int, Rate]
    num_images: int
    num_texts: int


def evaluate_retrieval(
    images_ND: NDArray[np.floating],
    captions: Sequence[str],
    texts_MD: NDArray[np.floating],
    texts: Sequence[str],
) -> Retrieval:
    """Recall of pictures and captions against each other.

    Args:
        images_ND: one embedding per picture.
        captions: the caption of each picture; several pictures may share one.
        texts_MD: one embedding per distinct caption.
        texts: the distinct captions, in the order of `texts_MD`.
    """
    row_of = {text: row for row, text in enumerate(texts)}
    assert len(row_of) == len(texts), "texts must be distinct"
    caption_N = np.array([row_of[caption] for caption in captions], dtype=np.int64)
    text_M = np.arange(len(texts))
    return Retrieval(
        image_to_text=recall_at_k(images_ND, texts_MD, caption_N, text_M),
        text_to_image=recall_at_k(texts_MD, images_ND, text_M, caption_N),
        num_images=len(captions),
        num_texts=len(texts),
    )


def recall_at_k(
    queries_QD: NDArray[np.floating],
    gallery_GD: NDArray[np.floating],
    answer_Q: NDArray[np.int64],
    answer_G: NDArray[np.int64],
    ks: Sequence[int] = RECALL_AT,
) -> dict[int, Rate]:
    """Share of the queries with a right item among the k best; an item is right if answers agree.

    Chunked over the queries: memory is linear in the gallery.
    """
    gallery_DG = normalise(gallery_GD).T
    wrong_above_Q = np.zeros(len(queries_QD), dtype=np.int64)
    for start in range(0, len(queries_QD), CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        scores_QG = normalise(queries_QD[rows]) @ gallery_DG
        right_QG = answer_Q[rows, None] == answer_G[None, :]
        best_right_Q1 = np.where(right_QG, scores_QG, -np.inf).max(axis=1, keepdims=True)
        wrong_above_Q[rows] = (~right_QG & ~(scores_QG < best_right_Q1)).sum(axis=1)
    return {k: Rate(successes=int((wrong_above_Q < k).sum()), n=len(queries_QD)) for k in ks}


def main() -> None:
    """`python -m diagonal_eval.retrieval search …` and `export …`; torch is loaded only here."""
    importlib.import_module("diagonal_eval.search.command").run()


if __name__ == "__main__":
    main()
