"""Every headline that the suite measures is found again in the predictions that it stores."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.eval.evalsets import set_of

from diagonal_eval.compare.metrics import paired_metric
from diagonal_eval.evalset import EvalSet
from diagonal_eval.features import ImageFeatures
from diagonal_eval.suite.classification import measure_classification
from diagonal_eval.suite.measured import Measured, Measuring
from diagonal_eval.suite.multilabel import measure_multilabel
from diagonal_eval.suite.retrieving import measure_retrieval, measure_selection
from diagonal_eval.zeroshot import normalise

N, D = 60, 6
HOW = Measuring(logit_scale=100.0, per_template=False, resamples=20)


def features() -> ImageFeatures:
    """The last two pictures cannot be read."""
    readable_N = np.arange(N) < N - 2
    rows_ND = normalise(np.random.default_rng(1).normal(size=(N, D))) * readable_N[:, None]
    return ImageFeatures(embedding_ND=rows_ND, pooled_NP=rows_ND, readable_N=readable_N)


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """Some direction for each text, the same each time."""
    return normalise(
        np.stack([np.random.default_rng(list(text.encode())).normal(size=D) for text in texts])
    )


def of_classes(num_classes: int, **facts: Any) -> EvalSet:
    names = tuple(f"class {index}" for index in range(num_classes))
    labels_N = np.random.default_rng(2).integers(num_classes, size=N)
    return set_of([b""] * N, class_names=names, labels_N=labels_N, **facts)


def measured(evalset: EvalSet) -> Measured:
    measures: dict[str, Any] = {
        "classification": measure_classification,
        "multilabel": measure_multilabel,
        "retrieval": measure_retrieval,
        "selection": measure_selection,
    }
    return measures[evalset.kind](evalset, features(), embed, HOW)


GROUPS = {"region": tuple(("north", "", "south")[index % 3] for index in range(N))}
SETS = {
    "acc1": of_classes(7),
    "acc5": of_classes(7),
    "mean_per_class_recall": of_classes(7),
    "macro_f1": of_classes(7, metric="macro_f1"),
    "worst_group_acc1": of_classes(3, metric="worst_group_acc1", groups=GROUPS),
    "roc_auc": of_classes(2, metric="roc_auc"),
    **{
        metric: set_of(
            [b""] * N,
            kind="multilabel",
            class_names=("a", "b", "c"),
            multilabels_NC=np.random.default_rng(3).random((N, 3)) < 0.4,
        )
        for metric in ("map", "map11")
    },
    **{
        f"{direction}_retrieval_recall@{k}": set_of(
            [b""] * N,
            kind="retrieval",
            captions=tuple((f"one {index}", f"two {index}") for index in range(N)),
        )
        for direction in ("image", "text")
        for k in (1, 5, 10)
    },
    "text_acc": set_of(
        [b""] * N, kind="selection", captions=tuple((f"a {i}", f"b {i}") for i in range(N))
    ),
}


@pytest.mark.parametrize("metric", SETS)
def test_a_metric_is_found_again(metric: str) -> None:
    found = measured(SETS[metric])
    paired = paired_metric(metric, found.predictions, found.predictions)
    assert paired is not None
    assert paired.a(paired.count_K) == pytest.approx(found.record["metrics"][metric], abs=1e-9)
