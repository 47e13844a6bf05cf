"""Copies of the same picture: by equal digests, or by near perceptual hashes.

Blind spots of perceptual hashes: flat pictures (too few bits set, or a low PDQ quality) are
compared with nothing; a crop or a mirror image is no copy; and the hashes see brightness only, so
without `Colours` a blue drawing is a copy of the same one in an equally bright red. Clusters are
closed: a chain of near pictures is one cluster, whose ends may be far apart.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diagonal_data.dedup.clusters import Clusters, copies
from diagonal_data.dedup.near_hashes import NearHashes, as_words
from diagonal_data.phash import is_flat

PAIRS_AT_ONCE = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Colours:
    """Small copies of the pictures, which copies must share beside their hash."""

    cells: NDArray[np.uint8]
    """N rows of bytes, a multiple of 8 each."""
    max_difference: int
    """Of any cell and channel, 0–255."""

    def alike(self, first: np.ndarray, second: np.ndarray) -> NDArray[np.bool_]:
        """Mask of the pairs of rows whose colours agree."""
        found = np.empty(len(first), bool)
        for start in range(0, len(first), PAIRS_AT_ONCE):
            part = slice(start, start + PAIRS_AT_ONCE)
            left, right = self.cells[first[part]], self.cells[second[part]]
            apart = np.maximum(left, right) - np.minimum(left, right)
            found[part] = apart.max(axis=1) <= self.max_difference
        return found


def near_clusters(
    hashes: np.ndarray, comparable: np.ndarray, max_hamming: int, colours: Colours | None = None
) -> np.ndarray:
    """The number of each row's cluster: the first row of it.

    Args:
        hashes: uint64, one or several words per row.
        comparable: mask of the rows that may have copies; the others are alone.
        max_hamming: bits in which a pair may differ.
        colours: what a pair must share besides; None: the hash decides.
    """
    rows = np.flatnonzero(comparable)
    clusters = Clusters(len(hashes))
    if not len(rows):
        return clusters.labels()
    words = as_words(hashes[rows])
    keys = words if colours is None else np.hstack([words, colours.cells[rows].view(np.uint64)])
    # Equal pictures are compared once, however many rows have them.
    _, first, copy_of = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    clusters.join(rows, rows[first[copy_of.reshape(-1)]])
    if max_hamming or colours is not None:
        for left, right, _ in NearHashes(words[first], max_hamming).pairs():
            ours, theirs = rows[first[left]], rows[first[right]]
            alike = slice(None) if colours is None else colours.alike(ours, theirs)
            clusters.join(ours[alike], theirs[alike])
    return clusters.labels()


def exact_copies(digests: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Mask of rows whose digest another, preferred row has.

    Args:
        digests: one value per row; rows with the same value are copies of each other.
        areas: pixels of the originals; the largest of equals is preferred, then the first.
    """
    return copies(np.unique(digests, return_inverse=True)[1], areas)


def near_copies(hashes: np.ndarray, areas: np.ndarray, max_hamming: int) -> np.ndarray:
    """Mask of rows within `max_hamming` bits of a preferred row, chains included.

    Args:
        hashes: uint64 perceptual hashes.
        areas: as in `exact_copies`.
        max_hamming: bits in which a pair may differ.
    """
    return copies(near_clusters(hashes, ~is_flat(hashes), max_hamming), areas)
