"""Copies of the same picture: by the bytes as fetched, or by near perceptual hashes.

Of equals the one with the largest original stays, then the first in dataset order. Perceptual
pairs are found by bands, never by a cross join: hashes that differ in at most 3 bits agree in at
least one of 4 bands of 16 bits, so only rows that share a band are compared. Blind spots: flat
pictures (too few bits set) are compared with nothing; a crop or a mirror image is no copy; and the
hash sees brightness only, so a blue drawing is a copy of the same one in an equally bright red.
"""

import numpy as np

from diagonal_data.phash import hamming, is_flat

BANDS = 4
BAND_BITS = 16
MAX_PAIRS_AT_ONCE = 1 << 22


def exact_copies(digests: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Mask of rows whose digest another, preferred row has.

    Args:
        digests: one value per row; rows with the same value are copies of each other.
        areas: pixels of the originals; the largest of equals is preferred, then the first.
    """
    order = np.lexsort((np.arange(len(digests)), -areas, digests))
    ordered = digests[order]
    repeated = np.zeros(len(digests), dtype=bool)
    repeated[order[1:]] = ordered[1:] == ordered[:-1]
    return repeated


def near_copies(hashes: np.ndarray, areas: np.ndarray, max_hamming: int) -> np.ndarray:
    """Mask of rows within `max_hamming` bits of a preferred row, chains included.

    Args:
        hashes: uint64 perceptual hashes.
        areas: as in `exact_copies`.
        max_hamming: at most 3.
    """
    assert max_hamming < BANDS
    different, copy_of = np.unique(hashes, return_inverse=True)
    parents = np.arange(len(different))
    usable = np.flatnonzero(~is_flat(different))
    for band in range(BANDS if max_hamming else 0):
        values = (different[usable] >> np.uint64(band * BAND_BITS)) & np.uint64(0xFFFF)
        for group in _equal_groups(values):
            _join_near(different, usable[group], max_hamming, parents)
    roots = np.fromiter((_root(parents, row) for row in range(len(parents))), int, len(parents))
    clusters = roots[copy_of]
    # A flat picture is in a cluster of its own.
    alone = is_flat(hashes)
    clusters[alone] = len(different) + np.flatnonzero(alone)
    return exact_copies(clusters, areas)


def _equal_groups(values: np.ndarray) -> list[np.ndarray]:
    """Positions of equal values, groups of two or more."""
    order = np.argsort(values, kind="stable")
    cuts = np.flatnonzero(np.diff(values[order])) + 1
    return [group for group in np.split(order, cuts) if len(group) > 1]


def _join_near(hashes: np.ndarray, rows: np.ndarray, max_hamming: int, parents: np.ndarray) -> None:
    step = max(1, MAX_PAIRS_AT_ONCE // len(rows))
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        near = hamming(hashes[block][:, None], hashes[rows][None, :]) <= max_hamming
        for i, j in np.argwhere(np.triu(near, start + 1)):
            first, second = _root(parents, int(block[i])), _root(parents, int(rows[j]))
            parents[max(first, second)] = min(first, second)


def _root(parents: np.ndarray, row: int) -> int:
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = parents[row]
    return row
