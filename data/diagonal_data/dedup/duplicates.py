"""Copies of the same picture: by equal digests, or by near perceptual hashes.

Blind spots of perceptual hashes: flat pictures (too few bits set, or a low PDQ quality) are
compared with nothing; a crop or a mirror image is no copy; and the hashes see brightness only, so
a blue drawing is a copy of the same one in an equally bright red. Clusters are closed: a chain of
near pictures is one cluster, whose ends may be far apart.
"""

import numpy as np

from diagonal_data.dedup.clusters import Clusters, copies
from diagonal_data.dedup.near_hashes import NearHashes, as_words
from diagonal_data.phash import is_flat


def near_clusters(hashes: np.ndarray, comparable: np.ndarray, max_hamming: int) -> np.ndarray:
    """The number of each row's cluster: the first row of it.

    Args:
        hashes: uint64, one or several words per row.
        comparable: mask of the rows that may have copies; the others are alone.
        max_hamming: bits in which a pair may differ.
    """
    rows = np.flatnonzero(comparable)
    clusters = Clusters(len(hashes))
    if len(rows):
        words = as_words(hashes[rows])
        # Equal hashes are compared once, however many rows have them.
        different, first, copy_of = np.unique(words, axis=0, return_index=True, return_inverse=True)
        clusters.join(rows, rows[first[copy_of.reshape(-1)]])
        if max_hamming:
            for left, right, _ in NearHashes(different, max_hamming).pairs():
                clusters.join(rows[first[left]], rows[first[right]])
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
