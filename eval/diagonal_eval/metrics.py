"""Numbers out of truths and predictions, and their 95 % intervals by bootstrap.

Every metric takes a weight per sample, so that a resample is a vector of counts and nothing is
sorted or copied again.

    mean_per_class_recall   mean over the classes that occur (scikit-learn's balanced accuracy)
    macro_f1                mean F1 over the classes that occur (WILDS: Koh et al., 2021)
    worst_group_accuracy    of the groups that occur (WILDS)
    average_precisions      per class, at every positive, as CLIP_benchmark has it, or at eleven
                            recalls (Everingham et al., 2010, §4.2; VOC 2007)
    roc_auc                 area under the receiver operating characteristic; ties count half

Shape suffixes: N samples, C classes.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from diagonal_eval.intervals import Interval

Indexes = NDArray[np.int64]
Weights = NDArray[np.floating]
ELEVEN_RECALLS = np.linspace(0, 1, 11)
NONE_PREDICTED = -1
"""In place of a class, for a picture that cannot be read."""


def per_class_recall(
    truth_N: Indexes, predicted_N: Indexes, weight_N: Weights | None = None
) -> tuple[Indexes, NDArray[np.float64]]:
    """The classes that occur, and the share of each that was recognised."""
    size = int(truth_N.max()) + 1
    weight_N = np.ones(len(truth_N)) if weight_N is None else weight_N
    count_C = np.bincount(truth_N, weight_N, size)
    right_C = np.bincount(truth_N, weight_N * (truth_N == predicted_N), size)
    present = np.flatnonzero(count_C)
    return present, right_C[present] / count_C[present]


def mean_per_class_recall(
    truth_N: Indexes, predicted_N: Indexes, weight_N: Weights | None = None
) -> float:
    """Mean over the classes that occur of the share recognised."""
    return float(per_class_recall(truth_N, predicted_N, weight_N)[1].mean())


def macro_f1(truth_N: Indexes, predicted_N: Indexes, weight_N: Weights | None = None) -> float:
    """Mean F1 over the classes that occur in the truth."""
    weight_N = np.ones(len(truth_N)) if weight_N is None else weight_N
    size = int(max(truth_N.max(), predicted_N.max())) + 1
    true_C = np.bincount(truth_N, weight_N, size)
    chosen = predicted_N >= 0
    predicted_C = np.bincount(predicted_N[chosen], weight_N[chosen], size)
    right_C = np.bincount(truth_N, weight_N * (truth_N == predicted_N), size)
    present = true_C > 0
    return float((2 * right_C[present] / (true_C + predicted_C)[present]).mean())


def worst_group_accuracy(
    group_N: Indexes, correct_N: NDArray[np.bool_], weight_N: Weights | None = None
) -> float:
    """The lowest share of right answers of any group that occurs."""
    weight_N = np.ones(len(group_N)) if weight_N is None else weight_N
    count_G = np.bincount(group_N, weight_N)
    right_G = np.bincount(group_N, weight_N * correct_N)
    present = count_G > 0
    return float((right_G[present] / count_G[present]).min())


def average_precisions(
    scores_NC: NDArray[np.floating],
    truths_NC: NDArray[np.bool_],
    weight_N: Weights | None = None,
    *,
    eleven_points: bool = False,
) -> NDArray[np.float64]:
    """Average precision of every class; 0 for one without a positive."""
    weight_N = np.ones(len(scores_NC)) if weight_N is None else weight_N
    ap_C = np.zeros(scores_NC.shape[1])
    for c in range(scores_NC.shape[1]):
        order = np.argsort(-scores_NC[:, c], kind="stable")
        weight, truth = weight_N[order], truths_NC[order, c]
        positive = np.cumsum(weight * truth)
        seen = np.cumsum(weight)
        total = positive[-1]
        if total == 0:
            continue
        precision = np.divide(positive, seen, out=np.zeros(len(seen)), where=seen > 0)
        if eleven_points:
            best_from = np.maximum.accumulate(precision[::-1])[::-1]
            reached = np.searchsorted(positive / total, ELEVEN_RECALLS - 1e-12)
            ap_C[c] = best_from[reached].mean()
        else:
            ap_C[c] = (weight * truth * precision).sum() / total
    return ap_C


def roc_auc(
    scores_N: NDArray[np.floating], truth_N: NDArray[np.bool_], weight_N: Weights | None = None
) -> float:
    """Chance that a positive scores above a negative; NaN where one of them is missing."""
    weight_N = np.ones(len(scores_N)) if weight_N is None else weight_N
    _, level_N = np.unique(scores_N, return_inverse=True)
    positive_L = np.bincount(level_N, weight_N * truth_N)
    negative_L = np.bincount(level_N, weight_N * ~truth_N)
    below_L = np.cumsum(negative_L) - negative_L
    pairs = positive_L.sum() * negative_L.sum()
    return float((positive_L * (below_L + negative_L / 2)).sum() / pairs) if pairs else np.nan


def bootstrap_interval(
    statistic: Callable[[Weights], float], n: int, *, seed: int, resamples: int = 1000
) -> Interval:
    """95 % bootstrap interval (Efron, 1979) of a statistic of weighted samples.

    The percentiles are moved by as much as the resamples' median lies off the statistic: drawing a
    positive twice raises an average precision, so that its percentiles alone may lie above it. A
    resample in which the statistic is not defined, for want of positives, is left out.
    """
    rng = np.random.default_rng(seed)
    share_N = np.full(n, 1 / n)
    values = [statistic(rng.multinomial(n, share_N).astype(float)) for _ in range(resamples)]
    low, middle, high = np.nanquantile(values, [0.025, 0.5, 0.975])
    value = statistic(np.ones(n))
    return max(0.0, float(low - middle + value)), min(1.0, float(high - middle + value))


def group_indexes(values: Sequence[str]) -> tuple[list[str], Indexes]:
    """The distinct values, sorted, and the index of each sample's."""
    names, index_N = np.unique(np.asarray(values), return_inverse=True)
    return [str(name) for name in names], index_N.astype(np.int64)
