"""Retrieval with any number of captions per picture, and the choice among given captions.

A query is a hit at k if any of its right items is among the k best; wrong items of an equal score
count as better, but a caption that is equal to a right one to the letter is right too.

    image_retrieval_recall@k   caption → pictures: its own picture is right
    text_retrieval_recall@k    picture → captions: any of its own is right

Shape suffixes: N pictures, M captions, Q queries, G gallery, K best, D embedding width.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from diagonal_eval.evalset import EvalSet
from diagonal_eval.features import ImageFeatures
from diagonal_eval.group_errors import compare_groups, gaps_record, groups_record
from diagonal_eval.intervals import bootstrap_mean_interval
from diagonal_eval.retrieval import CHUNK_ROWS, RECALL_AT
from diagonal_eval.suite.measured import (
    EmbedTexts,
    Measured,
    Measuring,
    Numbers,
    prediction_table,
    rate_of,
)

NEVER = np.iinfo(np.int32).max
"""Rank of what cannot be found, however many are looked at."""
Floats = NDArray[np.float32]


def caption_texts(evalset: EvalSet) -> list[str]:
    """All captions, those of a picture together."""
    assert evalset.captions is not None
    return [text for captions in evalset.captions for text in captions]


def ranks(
    queries_QD: Floats, gallery_GD: Floats, right: Sequence[NDArray[np.int64]]
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Of each query: wrong items that are not below its best right one, best item, its cosine.

    Chunked over the queries: memory is linear in the gallery.
    """
    rank_Q, best_Q = np.zeros(len(right), np.int64), np.zeros(len(right), np.int64)
    cosine_Q = np.zeros(len(right), np.float32)
    for start in range(0, len(right), CHUNK_ROWS):
        rows = slice(start, min(start + CHUNK_ROWS, len(right)))
        scores_QG = queries_QD[rows] @ gallery_GD.T
        best_Q[rows] = scores_QG.argmax(axis=1)
        cosine_Q[rows] = scores_QG.max(axis=1)
        for row, own in enumerate(right[rows]):
            own_scores = scores_QG[row, own]
            best_right = own_scores.max()
            above = (~(scores_QG[row] < best_right)).sum()
            rank_Q[start + row] = above - (~(own_scores < best_right)).sum()
    return rank_Q, best_Q, cosine_Q


def measure_retrieval(
    evalset: EvalSet, features: ImageFeatures, embed: EmbedTexts, how: Measuring
) -> Measured:
    """Recall in both directions; intervals resample pictures with all their captions."""
    captions = evalset.captions
    assert captions is not None
    texts = caption_texts(evalset)
    image_of_M = np.repeat(np.arange(len(captions)), [len(own) for own in captions])
    texts_MD, images_ND = embed(texts), features.embedding_ND
    places: dict[str, list[int]] = defaultdict(list)
    for place, text in enumerate(texts):
        places[text].append(place)
    own_texts = [np.array([i for text in set(own) for i in places[text]]) for own in captions]
    to_images = ranks(texts_MD, images_ND, [np.array([i]) for i in image_of_M])
    to_texts = ranks(images_ND, texts_MD, own_texts)
    unreadable_N = ~features.readable_N
    to_texts[0][unreadable_N], to_images[0][unreadable_N[image_of_M]] = NEVER, NEVER
    numbers = Numbers(metrics={}, ci95={})
    for k in RECALL_AT:
        numbers.add_rate(f"text_retrieval_recall@{k}", rate_of(to_texts[0] < k))
        hits_M = to_images[0] < k
        clusters = [str(image) for image in image_of_M]
        interval = bootstrap_mean_interval(
            hits_M, how.seed, clusters=clusters, resamples=how.resamples
        )
        numbers.add(f"image_retrieval_recall@{k}", float(hits_M.mean()), interval)
    record = {
        "metrics": numbers.metrics,
        "ci95": numbers.ci95,
        "captions": len(texts),
        "chance": None,
    }
    starts = np.concatenate([[0], np.cumsum([len(own) for own in captions])])
    numbered = [j for start, end in pairwise(starts) for j in range(int(end - start))]
    columns = {
        "key": [
            *(f"image {key}" for key in evalset.keys),
            *(f"text {evalset.keys[i]} #{j}" for i, j in zip(image_of_M, numbered, strict=True)),
        ],
        "truth": [*(own[0] for own in captions), *(evalset.keys[i] for i in image_of_M)],
        "predicted": [*(texts[i] for i in to_texts[1]), *(evalset.keys[i] for i in to_images[1])],
        "correct": np.concatenate([to_texts[0] == 0, to_images[0] == 0]),
        "rank": np.concatenate([to_texts[0], to_images[0]]),
        # A softmax over a gallery says more of its size than of the pair: the cosine itself.
        "confidence": np.concatenate([to_texts[2], to_images[2]]),
    }
    return Measured(record=record, predictions=prediction_table(columns))


def measure_selection(
    evalset: EvalSet, features: ImageFeatures, embed: EmbedTexts, how: Measuring
) -> Measured:
    """Whether the right caption is above all wrong ones of its picture (`text_acc`).

    Where pictures come in pairs with each other's captions (group `pair`; Winoground: Thrush et
    al., 2022), also whether the right picture is above the other for each caption (`image_acc`),
    and whether all of it is right (`group_acc`).
    """
    captions = evalset.captions
    assert captions is not None
    texts_MD = embed(caption_texts(evalset))
    sizes = [len(own) for own in captions]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    rank_N, best_N = np.zeros(len(captions), np.int64), np.zeros(len(captions), np.int64)
    confidence_N = np.zeros(len(captions), np.float32)
    scores: list[Floats] = []
    for row, (start, end) in enumerate(pairwise(starts)):
        cosines = texts_MD[start:end] @ features.embedding_ND[row]
        scores.append(cosines)
        rank_N[row] = (~(cosines[1:] < cosines[0])).sum()
        best_N[row] = cosines.argmax()
        odds = np.exp(how.logit_scale * (cosines - cosines.max()))
        confidence_N[row] = odds.max() / odds.sum()
    numbers = Numbers(metrics={}, ci95={})
    correct_N = (rank_N == 0) & features.readable_N
    numbers.add_rate("text_acc", rate_of(correct_N))
    if "pair" in evalset.groups:
        _add_pairs(numbers, evalset, scores, correct_N)
    columns = {
        "key": evalset.keys,
        "truth": [own[0] for own in captions],
        "predicted": [own[best] for own, best in zip(captions, best_N, strict=True)],
        "correct": correct_N,
        "rank": rank_N,
        "confidence": confidence_N,
    }
    groups = {name: values for name, values in evalset.groups.items() if name != "pair"}
    found = compare_groups(correct_N, groups, seed=how.seed)
    record = {
        "metrics": numbers.metrics,
        "ci95": numbers.ci95,
        "chance": float(np.mean([1 / size for size in sizes])),
        "groups": groups_record(found, "text_acc"),
        "group_gaps": gaps_record(found),
    }
    return Measured(record=record, predictions=prediction_table(columns))


def _add_pairs(
    numbers: Numbers, evalset: EvalSet, scores: Sequence[Floats], correct_N: NDArray[np.bool_]
) -> None:
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, pair in enumerate(evalset.groups["pair"]):
        rows_of[pair].append(row)
    pairs = [rows for rows in rows_of.values() if len(rows) == 2]
    # The wrong caption of each is the right one of the other.
    image = [bool(scores[a][0] > scores[b][1] and scores[b][0] > scores[a][1]) for a, b in pairs]
    text = [bool(correct_N[a] and correct_N[b]) for a, b in pairs]
    numbers.add_rate("image_acc", rate_of(np.array(image)))
    numbers.add_rate("group_acc", rate_of(np.array(image) & np.array(text)))
