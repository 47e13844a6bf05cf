"""Zero-shot ranking of pictures for every class, where a picture may show several.

Shape suffixes: N pictures, C classes.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from diagonal_eval.evalset import EvalSet
from diagonal_eval.features import ImageFeatures
from diagonal_eval.metrics import NONE_PREDICTED, average_precisions, bootstrap_interval
from diagonal_eval.suite.classification import distinct, ensemble_classifier, names_at
from diagonal_eval.suite.measured import (
    EmbedTexts,
    Measured,
    Measuring,
    Numbers,
    prediction_table,
    softmax_of,
)

MOST_RESAMPLES = 200
"""Each sorts all pictures for every class."""


def measure_multilabel(
    evalset: EvalSet, features: ImageFeatures, embed: EmbedTexts, how: Measuring
) -> Measured:
    """Mean average precision at every positive (`map`) and at eleven recalls (`map11`)."""
    cosines_NC = features.embedding_ND @ ensemble_classifier(evalset, embed).T
    # A picture that cannot be read stands last for every class.
    cosines_NC[~features.readable_N] = -2
    return measure_scores(evalset, cosines_NC, features.readable_N, how)


def measure_scores(
    evalset: EvalSet,
    scores_NC: NDArray[np.float32],
    readable_N: NDArray[np.bool_],
    how: Measuring,
) -> Measured:
    """The same of any scores; those of a picture that cannot be read are below all others."""
    truths_NC = evalset.multilabels_NC
    assert truths_NC is not None
    numbers = Numbers(metrics={}, ci95={})
    for name, eleven_points in (("map", False), ("map11", True)):

        def mean(weight_N: np.ndarray, eleven_points: bool = eleven_points) -> float:
            aps_C = average_precisions(scores_NC, truths_NC, weight_N, eleven_points=eleven_points)
            return float(aps_C.mean())

        n, resamples = len(truths_NC), min(how.resamples, MOST_RESAMPLES)
        interval = bootstrap_interval(mean, n, seed=how.seed, resamples=resamples)
        numbers.add(name, mean(np.ones(n)), interval)
    aps_C = average_precisions(scores_NC, truths_NC)
    best_N = scores_NC.argmax(axis=1)
    right_N = np.take_along_axis(truths_NC, best_N[:, None], axis=1)[:, 0]
    best_right_N = np.where(truths_NC, scores_NC, -np.inf).max(axis=1)
    rank_N = (~truths_NC & ~(scores_NC < best_right_N[:, None])).sum(axis=1)
    confidence_N = softmax_of(scores_NC * np.float32(how.logit_scale), best_N)
    best_N = np.where(readable_N, best_N, NONE_PREDICTED)
    names = distinct(evalset.class_names)
    columns = {
        "key": evalset.keys,
        "truth": ["; ".join(np.asarray(names)[row]) for row in truths_NC],
        "predicted": names_at(names, best_N),
        "correct": right_N & readable_N,
        "rank": rank_N,
        "confidence": confidence_N,
    }
    more = {
        "scores": pa.array(list(scores_NC), pa.list_(pa.float32())),
        "truths": pa.array(list(truths_NC), pa.list_(pa.bool_())),
    }
    positives_C = truths_NC.sum(axis=0)
    record = {
        "metrics": numbers.metrics,
        "ci95": numbers.ci95,
        "chance": float(truths_NC.mean()),
        "classes": len(names),
        "per_class": {
            name: {"n": int(positives_C[c]), "average_precision": float(aps_C[c])}
            for c, name in enumerate(names)
        },
    }
    return Measured(record=record, predictions=prediction_table(columns, more))
