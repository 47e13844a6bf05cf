"""Where a value stands among those of all samples: quantiles and top shares.

Counted are the samples that could be kept at all (stored, of the latest fetch, not taken down) and
have a score that is neither null nor NaN; n of them.

    quantile(v)    samples with a lesser score / (n - 1): 0 for the least, 1 for a greatest without
                   equals; equals share the place of the first of them; 0 if n is 1
    quantile(v) > c is the comparison of v with one score, and computed so
    top(v, share)  v >= the score at place int(n × share), from 0, in falling order, as DataComp
                   counts it; equals of that score are in, so it may be more than the share
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from typing import TypeVar

import numpy as np
import pyarrow as pa

from diagonal_data.filters.sql import Ranking
from diagonal_infra.errors import UserError

Place = TypeVar("Place", float, np.ndarray)


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
        if ranking.test == "top":
            return pa.array(numbers >= threshold(ordered, ranking.limit), mask=missing)
        if ranking.test:
            at_least = first_at(ordered, ranking.limit, above=ranking.test in (">", "<="))
            reached = np.zeros(len(numbers), bool) if at_least is None else numbers >= at_least
            return pa.array(reached if ranking.test[0] == ">" else ~reached, mask=missing)
        # Sorted, the look-ups walk through the scores instead of leaping.
        order = np.argsort(numbers)
        below = np.empty(len(numbers), np.int64)
        below[order] = ordered.searchsorted(numbers[order], "left")
        return pa.array(quantile(below, len(ordered)), mask=missing)


def quantile(below: Place, count: int) -> Place:
    """Quantile of a value that `below` of `count` scores are less than."""
    return below / max(count - 1, 1)


def first_at(ordered: np.ndarray, limit: float, *, above: bool) -> float | None:
    """The least score whose quantile is `limit` or more (or above it); None if no score's is."""
    count = len(ordered)
    find = bisect_right if above else bisect_left
    start = find(range(count), limit, key=lambda place: quantile(place, count))
    if start == len(ordered):
        return None
    # Equals share the place of their first, which may be before the limit.
    first = ordered.searchsorted(ordered[start], "left")
    after = start if first == start else int(ordered.searchsorted(ordered[start], "right"))
    return ordered[after] if after < len(ordered) else None


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
