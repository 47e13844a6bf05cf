"""One numeric column of all samples, in order: shares above a threshold and who stands next to it.

NaN, infinities and nulls count as missing. Memory: per place four bytes (eight for integers and
doubles), and four for the order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from diagonal_data.filters.columns import DERIVED, Catalogue, Column
from diagonal_data.filters.match import is_number
from diagonal_data.filters.scan import ahead, check_complete, read_scores
from diagonal_data.schema import ROW_SCHEMA
from diagonal_data.score_sets import TAR_KEY
from diagonal_eval.explore.row_index import ABSENT, RowIndex
from diagonal_eval.explore.snapshot import Snapshot
from diagonal_infra.errors import UserError

BINS = 80
OUTLIERS = 0.0005
"""Share at each end that the histogram's range leaves out; the end bars count them."""
NO_AMOUNT = frozenset({"phash", "tar_offset", "tar_bytes"})
"""Numbers whose size says nothing."""
CLUSTER = "_cluster"
"""End of the name of a column that numbers clusters."""


@dataclass(frozen=True, kw_only=True)
class Values:
    """`order` has the places of known values, rising; of equals in the dataset's order."""

    name: str
    by_place: NDArray[np.floating]
    order: NDArray[np.uint32]
    samples: int

    @property
    def missing(self) -> int:
        """Samples without a value."""
        return self.samples - len(self.order)

    def first_at(self, threshold: float) -> int:
        """How many values are below the threshold."""
        low, high = 0, len(self.order)
        while low < high:
            middle = (low + high) // 2
            if self.by_place[self.order[middle]] < threshold:
                low = middle + 1
            else:
                high = middle
        return low

    def at_or_above(self, threshold: float) -> int:
        """How many values a threshold keeps."""
        return len(self.order) - self.first_at(threshold)

    def around(self, threshold: float, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Places just below, nearest first, and at or just above."""
        at = self.first_at(threshold)
        return self.order[max(0, at - count) : at][::-1], self.order[at : at + count]

    def edges(self) -> NDArray[np.float64]:
        """Of the histogram's bins."""
        if not len(self.order):
            return np.zeros(0)
        last = len(self.order) - 1
        ends = [int(last * OUTLIERS), int(np.ceil(last * (1 - OUTLIERS)))]
        low, high = (float(self.by_place[self.order[place]]) for place in ends)
        return np.linspace(low, high if high > low else low + 1, BINS + 1)

    def clusters(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Value, first place in `order` and size of those with several members, largest first."""
        ordered = self.by_place[self.order]
        starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        starts = starts[: len(ordered)]
        sizes = np.diff(np.append(starts, len(ordered)))
        several = np.flatnonzero(sizes > 1)
        several = several[np.argsort(-sizes[several], kind="stable")]
        return ordered[starts[several]], starts[several], sizes[several]


def numeric_columns(catalogue: Catalogue, snapshot: Snapshot) -> dict[str, str]:
    """Name and type of every column that a threshold can be set on; scores first."""
    found = {name: _type(column, snapshot) for name, column in catalogue.scores().items()}
    found |= {field.name: field.type for field in ROW_SCHEMA}
    found |= {name: derived.type for name, derived in DERIVED.items()}
    return {n: str(kind) for n, kind in found.items() if is_number(kind) and n not in NO_AMOUNT}


def _type(column: Column, snapshot: Snapshot) -> pa.DataType:
    assert column.scores is not None
    schemas = (column.scores.schema(shard) for shard in snapshot.names)
    schema = next((schema for schema in schemas if schema is not None), None)
    return pa.null() if schema is None else schema.field(column.name).type


def read_values(catalogue: Catalogue, snapshot: Snapshot, index: RowIndex, name: str) -> Values:
    """The column of that name.

    Raises:
        UserError: there is none, it is no number, or scores are missing, broken or of other
            samples than the dataset's.
    """
    column = catalogue.find(name)
    if column.scores is not None:
        check_complete(column.scores, list(snapshot.names))
        read: Callable[[str], pa.ChunkedArray] = partial(_scores, column, snapshot, index)
    else:
        read = partial(_row_values, column, snapshot)
    by_place: np.ndarray | None = None
    for shard, values in zip(snapshot.names, ahead(read, snapshot.names), strict=True):
        numbers = _numbers(name, values)
        if by_place is None:
            by_place = np.full(snapshot.total, np.nan, numbers.dtype)
        targets = index.targets[shard]
        there = targets != ABSENT
        by_place[targets[there]] = numbers[there]
    assert by_place is not None
    places = np.flatnonzero(np.isfinite(by_place)).astype(np.uint32)
    order = places[np.argsort(by_place[places], kind="stable")]
    return Values(name=name, by_place=by_place, order=order, samples=index.samples)


def _scores(column: Column, snapshot: Snapshot, index: RowIndex, shard: str) -> pa.ChunkedArray:
    """A score column of a shard's stored rows."""
    scores = column.scores
    assert scores is not None
    count = len(index.targets[shard])
    table = read_scores(scores, shard, [column.name], index.digests[shard], count)
    tar = (table.schema.metadata or {}).get(TAR_KEY)
    known = snapshot.shards[snapshot.names.index(shard)]
    if tar is not None and tar.decode() not in (known["sha256"], known.get("built_sha256")):
        raise UserError(
            f"scores {scores.label} of shard {shard} were made of another tar than it has now; "
            "make them again with the command that made them"
        )
    return table[column.name]


def _row_values(column: Column, snapshot: Snapshot, shard: str) -> pa.ChunkedArray:
    """A row table's column of a shard's stored rows."""
    derived = DERIVED.get(column.name)
    if derived is None:
        return snapshot.stored_rows(shard, [column.name])[column.name]
    texts = snapshot.stored_rows(shard, [derived.source])[derived.source]
    return pa.chunked_array([derived.compute(texts.combine_chunks())])


def _numbers(name: str, values: pa.ChunkedArray) -> np.ndarray:
    """Floats, null as NaN; those of four bytes stay so."""
    if not is_number(values.type):
        raise UserError(f"{name!r} holds {values.type}: only numbers have a histogram")
    kind = pa.float32() if values.type in (pa.float16(), pa.float32()) else pa.float64()
    return values.cast(kind, safe=False).to_numpy(zero_copy_only=False)
