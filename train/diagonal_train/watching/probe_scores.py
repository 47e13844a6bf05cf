"""How a probe's embeddings score: recall@k and accuracy, exact.

A wrong item with an equal score, or any score where the right one is NaN, counts as better: a model
that gives all items one score finds nothing.

Shape suffixes: Q queries, G gallery items, D embedding width.
"""

import re
from collections.abc import Sequence

import torch
from torch import Tensor

RECALL_AT = (1, 5, 10)
CHUNK_ROWS = 1024
"""Queries whose scores are held in memory at once."""


def wrong_above(
    queries_QD: Tensor, gallery_GD: Tensor, answer_Q: Tensor, answer_G: Tensor
) -> Tensor:
    """How many wrong items each query puts before its best right one, Q; right if answers agree."""
    counts = []
    for rows_RD, answer_R in zip(
        queries_QD.split(CHUNK_ROWS), answer_Q.split(CHUNK_ROWS), strict=True
    ):
        scores_RG = rows_RD @ gallery_GD.T
        right_RG = answer_R[:, None] == answer_G[None, :]
        best_R1 = scores_RG.masked_fill(~right_RG, -torch.inf).amax(1, keepdim=True)
        counts.append((~right_RG & ~(scores_RG < best_R1)).sum(1))
    return torch.cat(counts)


def share_within(wrong_Q: Tensor, k: int) -> float:
    """The share of the queries with a right item among the k best."""
    return (wrong_Q < k).double().mean().item()


def classes_in(captions: Sequence[str], names: Sequence[str]) -> list[int | None]:
    """For each caption the number of the longest name that stands in it as whole words, if any."""
    # Of equally long ones the first.
    by_length = sorted(range(len(names)), key=lambda number: -len(names[number]))
    patterns = [
        (number, re.compile(rf"(?<!\w){re.escape(names[number])}(?!\w)", re.IGNORECASE))
        for number in by_length
    ]
    return [
        next((number for number, pattern in patterns if pattern.search(caption)), None)
        for caption in captions
    ]
