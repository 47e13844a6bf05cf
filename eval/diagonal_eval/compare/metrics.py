"""A task's headline out of two tables of predictions, for any weights of the samples.

    acc1, acc5, text_acc, … recall@k   shares of hits, one per sample or query
    mean_per_class_recall, macro_f1, worst_group_acc1, roc_auc, map, map11

Samples with equal answers are one cell with a count, so that a resample is a draw of a few counts:
a share has four cells, whatever the number of samples. Captions of one picture are drawn together.

Shape suffixes: N samples, K cells or clusters, C classes.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from diagonal_eval.metrics import (
    NONE_PREDICTED,
    average_precisions,
    macro_f1,
    mean_per_class_recall,
    roc_auc,
    worst_group_accuracy,
)

Doubles = NDArray[np.float64]
Flags = NDArray[np.bool_]
Statistic = Callable[[Doubles], float]
"""A metric as a function of one weight per cell."""
ACCURACY = re.compile(r"acc(\d+)")
RECALL = re.compile(r"(image|text)_retrieval_recall@(\d+)")
OF_CLASSES: dict[str, Callable[..., float]] = {
    "macro_f1": macro_f1,
    "mean_per_class_recall": mean_per_class_recall,
}
QUERY = {"image": "text ", "text": "image "}
"""Image retrieval asks with texts, text retrieval with images: what their keys begin with."""


@dataclass(frozen=True, kw_only=True)
class PairedMetric:
    """One metric of both evaluations, on the same weights."""

    n: int
    """Samples or queries."""
    count_K: Doubles
    """Samples in each cell; the weights that give the metrics themselves."""
    a: Statistic
    b: Statistic
    hits: tuple[Flags, Flags] | None = None
    """Of independent samples whose share of hits is the metric: McNemar's test applies."""


def paired_metric(metric: str, a: pa.Table, b: pa.Table) -> PairedMetric | None:
    """The metric of two tables with the same keys; None if predictions do not tell it."""
    hits = _hits(metric, a), _hits(metric, b)
    if hits[0] is not None and hits[1] is not None:
        return _share(hits[0][1], hits[1][1], _clusters(metric, a, hits[0][0]))
    if metric in OF_CLASSES:
        return _of_classes(OF_CLASSES[metric], a, b)
    if metric == "worst_group_acc1" and "group" in a.column_names:
        return _worst_group(a, b)
    if metric == "roc_auc":
        return _roc_auc(a, b)
    if metric in ("map", "map11") and {"scores", "truths"} <= {*a.column_names, *b.column_names}:
        return _mean_average_precision(a, b, eleven_points=metric == "map11")
    return None


def share_of_correct(a: pa.Table, b: pa.Table) -> PairedMetric:
    """The column `correct`, whatever the headline is."""
    return _share(correct_flags(a), correct_flags(b), None)


def correct_flags(table: pa.Table) -> Flags:
    """The column `correct`."""
    return table.column("correct").to_numpy(zero_copy_only=False).astype(bool)


def _hits(metric: str, table: pa.Table) -> tuple[Flags, Flags] | None:
    """Which rows count, and the hits among them."""
    rank_N = table.column("rank").to_numpy()
    if found := RECALL.fullmatch(metric):
        keys = table.column("key").to_pylist()
        rows_N = np.array([key.startswith(QUERY[found[1]]) for key in keys])
        return (rows_N, rank_N[rows_N] < int(found[2])) if rows_N.any() else None
    every_N = np.ones(table.num_rows, dtype=bool)
    if metric in ("acc1", "text_acc"):
        return every_N, correct_flags(table)
    found = ACCURACY.fullmatch(metric)
    return (every_N, rank_N < int(found[1])) if found else None


def _clusters(metric: str, table: pa.Table, rows_N: Flags) -> NDArray[np.int64] | None:
    """The picture of each caption; None where every query has its own."""
    if not metric.startswith("image_retrieval"):
        return None
    keys = [key for key, row in zip(table.column("key").to_pylist(), rows_N, strict=True) if row]
    cluster_N = np.unique([key.rpartition(" #")[0] for key in keys], return_inverse=True)[1]
    return cluster_N if cluster_N.max() + 1 < len(cluster_N) else None


def _share(hits_a: Flags, hits_b: Flags, cluster_N: NDArray[np.int64] | None) -> PairedMetric:
    if cluster_N is None:
        cells_K2, count_K = np.unique(np.c_[hits_a, hits_b], axis=0, return_counts=True)
        of_a, of_b = cells_K2.T.astype(float)
        size_K = np.ones(len(count_K))
    else:
        size_K = np.bincount(cluster_N).astype(float)
        of_a, of_b = np.bincount(cluster_N, hits_a), np.bincount(cluster_N, hits_b)
        count_K = np.ones(len(size_K))
    return PairedMetric(
        n=len(hits_a),
        count_K=count_K.astype(float),
        a=lambda weight_K: float(weight_K @ of_a / (weight_K @ size_K)),
        b=lambda weight_K: float(weight_K @ of_b / (weight_K @ size_K)),
        hits=(hits_a, hits_b) if cluster_N is None else None,
    )


def _of_classes(metric: Callable[..., float], a: pa.Table, b: pa.Table) -> PairedMetric:
    columns = [a.column("truth"), a.column("predicted"), b.column("predicted")]
    _, index = np.unique(
        np.concatenate([column.to_numpy(zero_copy_only=False) for column in columns]).astype(str),
        return_inverse=True,
    )
    truth_N, *predicted = index.reshape(3, -1)
    if metric is mean_per_class_recall:
        # Which wrong class it was tells nothing: far fewer cells.
        predicted = [np.where(one_N == truth_N, one_N, NONE_PREDICTED) for one_N in predicted]
    cells_K3, count_K = _cells([truth_N, *predicted])
    truth_K, first_K, second_K = cells_K3.T
    return PairedMetric(
        n=a.num_rows,
        count_K=count_K,
        a=lambda weight_K: metric(truth_K, first_K, weight_K),
        b=lambda weight_K: metric(truth_K, second_K, weight_K),
    )


def _worst_group(a: pa.Table, b: pa.Table) -> PairedMetric | None:
    """Samples of no group are in none of them."""
    groups = a.column("group").to_numpy(zero_copy_only=False).astype(str)
    rows_N = groups != ""
    if not rows_N.any():
        return None
    group_N = np.unique(groups[rows_N], return_inverse=True)[1]
    cells_K3, count_K = _cells([group_N, correct_flags(a)[rows_N], correct_flags(b)[rows_N]])
    group_K, first_K, second_K = cells_K3.T
    return PairedMetric(
        n=len(group_N),
        count_K=count_K,
        a=lambda weight_K: worst_group_accuracy(group_K, first_K.astype(bool), weight_K),
        b=lambda weight_K: worst_group_accuracy(group_K, second_K.astype(bool), weight_K),
    )


def _cells(columns: Sequence[NDArray[np.generic]]) -> tuple[NDArray, Doubles]:
    """The distinct rows of some columns, and how often each stands there."""
    cells, counts = np.unique(np.stack(list(columns), axis=1), axis=0, return_counts=True)
    return cells, counts.astype(float)


def _roc_auc(a: pa.Table, b: pa.Table) -> PairedMetric | None:
    first, second = _margin(a), _margin(b)
    if first is None or second is None:
        return None
    (first_N, truth_N), (second_N, _) = first, second
    return PairedMetric(
        n=a.num_rows,
        count_K=np.ones(a.num_rows),
        a=lambda weight_N: roc_auc(first_N, truth_N, weight_N),
        b=lambda weight_N: roc_auc(second_N, truth_N, weight_N),
    )


def _margin(table: pa.Table) -> tuple[Doubles, Flags] | None:
    """How far one of two classes is above the other, and whether it is true.

    Out of the scores if they are stored; else out of the confidence, which ends at 1.
    """
    if {"scores", "truths"} <= set(table.column_names):
        scores_NC, truths_NC = _matrix(table, "scores"), _matrix(table, "truths").astype(bool)
        if scores_NC.shape[1] != 2:
            return None
        return scores_NC[:, 1] - scores_NC[:, 0], truths_NC[:, 1]
    truth, predicted = (table.column(name).to_pylist() for name in ("truth", "predicted"))
    names = sorted(set(truth))
    if len(names) != 2 or not set(predicted) <= set(names):
        return None
    confidence_N = table.column("confidence").to_numpy().astype(float)
    chosen_N = np.array(predicted) == names[1]
    return np.where(chosen_N, confidence_N, 1 - confidence_N), np.array(truth) == names[1]


def _mean_average_precision(a: pa.Table, b: pa.Table, *, eleven_points: bool) -> PairedMetric:
    return PairedMetric(
        n=a.num_rows,
        count_K=np.ones(a.num_rows),
        a=_average_precision_of(a, eleven_points),
        b=_average_precision_of(b, eleven_points),
    )


def _average_precision_of(table: pa.Table, eleven_points: bool) -> Statistic:
    scores_NC, truths_NC = _matrix(table, "scores"), _matrix(table, "truths").astype(bool)
    # Sorted once: a sort of what is sorted already costs little in each of the resamples.
    order_NC = np.argsort(-scores_NC, axis=0, kind="stable")
    scores_NC = np.take_along_axis(scores_NC, order_NC, axis=0)
    truths_NC = np.take_along_axis(truths_NC, order_NC, axis=0)

    def mean(weight_N: Doubles) -> float:
        aps = [
            average_precisions(
                scores_NC[:, c : c + 1],
                truths_NC[:, c : c + 1],
                weight_N[order_NC[:, c]],
                eleven_points=eleven_points,
            )[0]
            for c in range(scores_NC.shape[1])
        ]
        return float(np.mean(aps))

    return mean


def _matrix(table: pa.Table, name: str) -> Doubles:
    """A column of lists of one length."""
    flat = table.column(name).combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.astype(float).reshape(table.num_rows, -1)
