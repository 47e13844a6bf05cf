"""What is measured of one task: the record of results.json, and a row per sample.

    predictions/NAME.parquet   key, truth, predicted, correct, rank, confidence[, scores, truths]

`rank` is that of the right answer, 0 is best; `confidence` is the softmax probability of what was
predicted at the model's own scale of logits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from diagonal_eval.intervals import Interval, Rate

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
Kinds = Mapping[str, Sequence[str]]
"""Kind, such as `crime`, to its classes."""
EmbedTexts = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """How much is measured beside the numbers themselves."""

    logit_scale: float
    per_template: bool = True
    seed: int = 0
    resamples: int = 1000
    kinds: Kinds | None = None
    """Of the classes that the class-design sweep offers; None: no sweep."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A task's part of results.json, without what is known of its set, and its predictions."""

    record: dict[str, Any]
    predictions: pa.Table
    class_cosines: tuple[Sequence[str], NDArray[np.float32]] | None = None
    """Of few classes: their names, and how alike their prompts are."""


@dataclass(kw_only=True)
class Numbers:
    """Metrics with their intervals, as results.json has them."""

    metrics: dict[str, float]
    ci95: dict[str, list[float]]

    def add(self, name: str, value: float, interval: Interval) -> None:
        """A metric that is no share of successes."""
        self.metrics[name], self.ci95[name] = value, list(interval)

    def add_rate(self, name: str, rate: Rate) -> None:
        """A share with its Wilson interval."""
        self.add(name, rate.value, rate.interval)


def rate_of(outcomes_N: NDArray[np.bool_]) -> Rate:
    """The share of true ones."""
    return Rate(successes=int(outcomes_N.sum()), n=len(outcomes_N))


def rate_record(rate: Rate, name: str = "acc1") -> dict[str, Any]:
    """A share as a record of its own."""
    return {"n": rate.n, name: rate.value, "ci95": list(rate.interval)}


def prediction_table(columns: Mapping[str, Any], more: Mapping[str, Any] | None = None) -> pa.Table:
    """The table of `PREDICTIONS_SCHEMA`, and further columns behind."""
    arrays = [pa.array(columns[field.name], field.type) for field in PREDICTIONS_SCHEMA]
    table = pa.Table.from_arrays(arrays, schema=PREDICTIONS_SCHEMA)
    for name, values in (more or {}).items():
        table = table.append_column(name, values)
    return table


def softmax_of(logits_NC: NDArray[np.float32], column_N: NDArray[np.int64]) -> NDArray[np.float32]:
    """The softmax probability of one column in each row."""
    shifted_NC = np.exp(logits_NC - logits_NC.max(axis=1, keepdims=True))
    own_N1 = np.take_along_axis(shifted_NC, column_N[:, None], axis=1)
    return (own_N1[:, 0] / shifted_NC.sum(axis=1)).astype(np.float32)
