"""Where a value stands among those of all samples: quantiles and top shares.

Counted are the samples that could be kept at all (stored, of the latest fetch, not taken down) and
have a score that is neither null nor NaN; n of them.

    quantile(v)    samples with a lesser score / (n - 1): 0 for the least, 1 for a greatest without
                   equals; equals share the place of the first of them; 0 if n is 1
    top(v, share)  v >= the score at place int(n × share), from 0, in falling order, as DataComp
                   counts it; equals of that score are in, so it may be more than the share
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa

from diagonal_data.filters.sql import Ranking
from diagonal_infra.errors import UserError


class Ranks:
    """The rankings of a query, each with the scores it is counted in."""

    def __init__(self, rankings: Iterable[Ranking]) -> None:
        self.rankings = sorted(rankings, key=lambda ranking: ranking.name)
        self._ordered: dict[str, np.ndarray] = {}

    @property
    def columns(self) -> list[str]:
        """The columns whose values decide."""
        return sorted({ranking.column for ranking in self.rankings})

    def count(self, parts: Mapping[str, list[pa.ChunkedArray]]) -> None:
        """Take in all values of every column."""
        for column in self.columns:
            chunks = [chunk for part in parts[column] for chunk in part.chunks]
            numbers = [_numbers(column, chunk.drop_null()) for chunk in chunks]
            self._ordered[column] = np.sort(np.concatenate(numbers or [np.empty(0)]))

    def of(self, ranking: Ranking, values: pa.ChunkedArray) -> pa.Array:
        """The ranking of each value; null where there is none."""
        ordered = self._ordered[ranking.column]
        missing = np.asarray(values.is_null())
        numbers = _numbers(ranking.column, values.combine_chunks().fill_null(0))
        if ranking.share is not None:
            return pa.array(numbers >= threshold(ordered, ranking.share), mask=missing)
        # Sorted, the look-ups walk through the scores instead of leaping.
        order = np.argsort(numbers)
        below = np.empty(len(numbers), np.int64)
        below[order] = ordered.searchsorted(numbers[order], "left")
        return pa.array(below / max(len(ordered) - 1, 1), mask=missing)


def threshold(ordered: np.ndarray, share: float) -> float:
    """The least score of the top share, of scores in rising order; infinite if there are none."""
    count = len(ordered)
    if not count:
        return np.inf
    return ordered[count - 1 - min(int(count * share), count - 1)]


def _numbers(column: str, values: pa.Array) -> np.ndarray:
    numeric = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
    if not numeric:
        raise UserError(f"{column!r} holds {values.type}: only numbers have a quantile or a top")
    return values.to_numpy(zero_copy_only=False)
