"""The linear probe of a set: its features before the projection, a classifier fitted to them.

    train ─► part fitted, part for choosing C ─► both fitted with that C ─► test: metrics, answers
                                              └► few shots of the part fitted: curve

Pictures that cannot be decoded are left out of both splits and counted. A class without a training
picture is never predicted, so its test pictures are wrong; such classes are counted too.

Shape suffixes: N samples, P features before the projection, C classes, K classes with samples.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from diagonal_eval.evalset import EvalSet
from diagonal_eval.features import FeatureStore
from diagonal_eval.intervals import Rate, bootstrap_mean_interval
from diagonal_eval.probes.config import ProbeConfig
from diagonal_eval.probes.few_shot import Shots, few_shot_curve
from diagonal_eval.probes.logistic import Fit, LinearClassifier, fit, prepare_labels
from diagonal_eval.probes.sweep import Sweep, choose_c, validation_rows
from diagonal_infra.errors import UserError

MEAN_PER_CLASS = "mean_per_class_recall"
PREDICTIONS_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("truth", pa.string(), nullable=False),
        pa.field("predicted", pa.string(), nullable=False),
        pa.field("correct", pa.bool_(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("confidence", pa.float32(), nullable=False),
    ]
)


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """A set's record in results.json, and a row per test picture."""

    record: dict[str, Any]
    predictions: pa.Table


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """The readable pictures of a split."""

    keys: tuple[str, ...]
    features_NP: NDArray[np.float32]
    truth: NDArray[Any]
    """Labels N or truths N×C."""
    unreadable: int


def measure_probe(
    train: EvalSet,
    test: EvalSet,
    store: FeatureStore,
    config: ProbeConfig,
    *,
    validation: EvalSet | None = None,
) -> ProbeResult:
    """Fit on `train`, measure on `test`.

    Args:
        train: classification or multilabel.
        test: of the same classes.
        store: of the encoder in question.
        config: shots, seeds and limits.
        validation: chooses C; otherwise a fifth of `train` does.

    Raises:
        UserError: the splits differ in kind or classes, one class only, or features that are not
            finite.
    """
    from diagonal_eval.probes.multilabel import measure_multilabel

    splits = [one for one in (train, test, validation) if one is not None]
    check_splits(splits)
    given = {one.split: read_split(one, store) for one in splits}
    return measure_classification(given, train, test, store, config)
