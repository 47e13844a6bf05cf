"""Rows joined into clusters by pairs: union-find on whole arrays.

A cluster is named by its first row. Roots are found by pointer jumping over all rows of a call at
once, so a chain of a million rows takes twenty rounds and no Python loop over rows.
"""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


class Clusters:
    """Clusters of the rows 0 … size - 1, each its own at first."""

    def __init__(self, size: int) -> None:
        self._parents = np.arange(size)

    def join(self, first: Rows, second: Rows) -> None:
        """Put each row of `first` into one cluster with its partner in `second`."""
        while True:
            both = self._roots(np.concatenate([first, second]))
            left, right = np.split(both, 2)
            apart = left != right
            if not apart.any():
                return
            first, second = left[apart], right[apart]
            # Of several smaller roots the smallest wins; the others are joined in the next round.
            np.minimum.at(self._parents, np.maximum(first, second), np.minimum(first, second))

    def labels(self) -> Rows:
        """The first row of each row's cluster."""
        return self._roots(np.arange(len(self._parents)))

    def _roots(self, rows: Rows) -> Rows:
        while True:
            above = self._parents[rows]
            further = self._parents[above]
            if (above == further).all():
                return above
            self._parents[rows] = further


def copies(clusters: Rows, preference: np.ndarray) -> NDArray[np.bool_]:
    """Mask of the rows that another row of their cluster stands for.

    Args:
        clusters: rows with the same number are copies of each other.
        preference: the highest of a cluster stays, of equals the first; NaN is the lowest.
    """
    wanted = preference.astype(np.float64)
    wanted[np.isnan(wanted)] = -np.inf
    order = np.lexsort((np.arange(len(clusters)), -wanted, clusters))
    ordered = clusters[order]
    repeated = np.zeros(len(clusters), dtype=bool)
    repeated[order[1:]] = ordered[1:] == ordered[:-1]
    return repeated
