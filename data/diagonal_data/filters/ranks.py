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
from collections.abc import Iterable, Sequence
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
        self._least: dict[Ranking, float | None] = {}

    @property
    def columns(self) -> list[str]:
        """The columns whose values decide."""
        return sorted({ranking.column for ranking in self.rankings})

    def count(self, parts: Sequence[pa.Table]) -> None:
        """Take in all values of every column."""
        for column in self.columns:
            chunks = [chunk for part in parts for chunk in part[column].chunks]
            numbers = [_numbers(column, chunk.drop_null()) for chunk in chunks]
            scores = np.concatenate(numbers or [np.empty(0)])
            rankings = [ranking for ranking in self.rankings if ranking.column == column]
            if not all(ranking.test for ranking in rankings):
                self._ordered[column] = np.sort(scores)
            # One score decides a test, and is found without sorting them all.
            self._least |= {ranking: _least(scores, ranking) for ranking in rankings}

    def of(self, ranking: Ranking, values: pa.ChunkedArray) -> pa.Array:
        """The ranking of each value; null where there is none."""
        missing = np.asarray(values.is_null()) if values.null_count else None
        numbers = _numbers(ranking.column, values.combine_chunks().fill_null(0))
        if ranking.test:
            least = self._least[ranking]
            reached = np.zeros(len(numbers), bool) if least is None else numbers >= least
            return pa.array(~reached if ranking.test[0] == "<" else reached, mask=missing)
        ordered = self._ordered[ranking.column]
        # Sorted, the look-ups walk through the scores instead of leaping.
        order = np.argsort(numbers)
        below = np.empty(len(numbers), np.int64)
        below[order] = ordered.searchsorted(numbers[order], "left")
        return pa.array(quantile(below, len(ordered)), mask=missing)


def quantile(below: Place, count: int) -> Place:
    """Quantile of a value that `below` of `count` scores are less than."""
    return below / max(count - 1, 1)


def _least(scores: np.ndarray, ranking: Ranking) -> float | None:
    """The least score that passes a test (or, of < and <=, that fails it); None if none does."""
    if not ranking.test:
        return None
    if ranking.test == "top":
        return threshold(scores, ranking.limit)
    return first_at(scores, ranking.limit, above=ranking.test in (">", "<="))


def first_at(scores: np.ndarray, limit: float, *, above: bool) -> float | None:
    """The least score whose quantile is `limit` or more (or above it); None if no score's is."""
    count = len(scores)
    find = bisect_right if above else bisect_left
    start = find(range(count), limit, key=lambda place: quantile(place, count))
    if start == count:
        return None
    score = np.partition(scores, start)[start]
    # Equals share the place of their first, which may be before the limit.
    if np.count_nonzero(scores < score) == start:
        return score
    greater = scores[scores > score]
    return greater.min() if len(greater) else None


def threshold(scores: np.ndarray, share: float) -> float:
    """The least score of the top share; infinite if there are none."""
    count = len(scores)
    if not count:
        return np.inf
    place = count - 1 - min(int(count * share), count - 1)
    return np.partition(scores, place)[place]


def _numbers(column: str, values: pa.Array) -> np.ndarray:
    numeric = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
    if not numeric:
        raise UserError(f"{column!r} holds {values.type}: only numbers have a quantile or a top")
    return values.to_numpy(zero_copy_only=False)
