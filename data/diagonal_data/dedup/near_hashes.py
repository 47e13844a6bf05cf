"""Pairs of hashes that differ in few bits: all of them, and no cross join.

Hashes are cut into m bands. If the radii of the bands sum to `max_hamming` - m + 1, two hashes
within `max_hamming` bits agree, in at least one band, up to that band's radius: else radius + 1
bits of every band differ, `max_hamming` + 1 in all. So per band

    sort rows by their bits there ─► for every mask of at most `radius` bits: a row meets the rows
    whose bits are its own XOR the mask ─► of these, count the bits that really differ

(multi-index hashing; Norouzi et al., 2012). How many bands is chosen by what they would cost. Time
grows with the number of rows that share a band, so with the square of thousands of near pictures.

Shape suffixes: N hashes, W words of 64 bits each.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16]]
"""Rows of the first, rows of the second, and the bits in which they differ."""

WORD_BITS = 64
MAX_BAND_BITS = 24
"""A band's table of starts has 2^bits entries of 8 bytes."""
MAX_PAIRS_AT_ONCE = 1 << 20
PAIR_COST = 3.0
"""Of one comparison, against 1 for one look-up; above its measured share, because real hashes crowd
into fewer bands than random ones."""


@dataclass(frozen=True, kw_only=True)
class Band:
    """Some bits of a hash, and in how many of them a pair may differ here."""

    bits: tuple[int, ...]
    radius: int

    @cached_property
    def masks(self) -> list[int]:
        """Every difference of at most `radius` bits, none first."""
        return [
            sum(1 << bit for bit in chosen)
            for size in range(self.radius + 1)
            for chosen in combinations(range(len(self.bits)), size)
        ]


class NearHashes:
    """Hashes in which near ones are looked up."""

    def __init__(self, hashes_NW: Words, max_hamming: int) -> None:
        self._hashes_NW = as_words(hashes_NW)
        self._max_hamming = max_hamming

    def pairs(self) -> Iterator[Pairs]:
        """All pairs of rows within `max_hamming` bits, of a pair the order is open.

        A pair that agrees in several bands comes several times.
        """
        rows, words = self._hashes_NW.shape
        for band in plan_bands(words * WORD_BITS, self._max_hamming, rows, rows):
            table = _BandTable(self._hashes_NW, band)
            for mask in band.masks:
                yield from self._near(table, table, *table.partners(mask))

    def pairs_with(self, others_NW: Words) -> Iterator[Pairs]:
        """All pairs of a row of `others_NW` and a row of these, as `pairs`."""
        others_NW = as_words(others_NW)
        rows, words = self._hashes_NW.shape
        bands = plan_bands(words * WORD_BITS, self._max_hamming, len(others_NW), rows)
        for band in bands:
            table, others = _BandTable(self._hashes_NW, band), _BandTable(others_NW, band)
            for mask in band.masks:
                yield from self._near(others, table, *table.spans(others.keys ^ mask))

    def _near(
        self,
        left: "_BandTable",
        right: "_BandTable",
        first: NDArray[np.int64],
        last: NDArray[np.int64],
    ) -> Iterator[Pairs]:
        """Of the pairs of each left row and right rows first…last, those that are near."""
        meets = np.flatnonzero(last > first)
        ends = np.cumsum(last[meets] - first[meets])
        start = 0
        while start < len(meets):
            done = ends[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, done + MAX_PAIRS_AT_ONCE, "right")))
            rows = meets[start:stop]
            counts = last[rows] - first[rows]
            offsets = np.repeat(first[rows] - (ends[start:stop] - counts - done), counts)
            ours, theirs = np.repeat(rows, counts), np.arange(len(offsets)) + offsets
            differing = _differing(left.hashes_NW, ours, right.hashes_NW, theirs)
            near = np.flatnonzero(differing <= self._max_hamming)
            if len(near):
                yield left.order[ours[near]], right.order[theirs[near]], differing[near]
            start = stop


class _BandTable:
    """Hashes sorted by their bits in a band; `starts[key]` is the first row of that key."""

    def __init__(self, hashes_NW: Words, band: Band) -> None:
        keys = band_keys(hashes_NW, band)
        self.order = np.argsort(keys, kind="stable")
        self.keys = keys[self.order]
        self.hashes_NW = hashes_NW[self.order]
        counts = np.bincount(self.keys, minlength=1 << len(band.bits))
        self.starts = np.concatenate([[0], np.cumsum(counts)])

    def spans(self, keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Begin and end of the rows with each key."""
        return self.starts[keys], self.starts[keys + 1]

    def partners(self, mask: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """`spans` of each row's partners in the same table, every pair on one side only."""
        first, last = self.spans(self.keys ^ mask)
        if mask == 0:
            return np.arange(1, len(self.keys) + 1), last
        is_lower = self.keys & (1 << (mask.bit_length() - 1)) == 0
        return first, np.where(is_lower, last, first)


def as_words(hashes: Words) -> Words:
    """N hashes of one word become N×1."""
    return hashes[:, None] if hashes.ndim == 1 else hashes


def plan_bands(num_bits: int, max_hamming: int, left: int, right: int) -> list[Band]:
    """The bands that find all pairs for the least work, were the hashes random."""
    fewest = -(-num_bits // MAX_BAND_BITS)
    plans = [_bands(num_bits, max_hamming, count) for count in range(fewest, num_bits // 6)]
    return min(plans, key=lambda bands: sum(_cost(band, left, right) for band in bands))


def _bands(num_bits: int, max_hamming: int, count: int) -> list[Band]:
    """`count` bands with their radii; where they are more than the bits, the first of them."""
    spare = max_hamming - count + 1
    each, more = divmod(max(spare, 0), count)
    bands = [
        # Neighbouring frequencies go together, so a band takes bits from all over the hash.
        Band(bits=tuple(range(i, num_bits, count)), radius=each + (i >= count - more))
        for i in range(count)
    ]
    return bands[: max_hamming + 1]


def _cost(band: Band, left: int, right: int) -> float:
    masks = sum(comb(len(band.bits), size) for size in range(band.radius + 1))
    return (1 << len(band.bits)) + masks * left * (1 + PAIR_COST * right / 2 ** len(band.bits))


def band_keys(hashes_NW: Words, band: Band) -> NDArray[np.int64]:
    """A band's bits of every hash as one number."""
    keys = np.zeros(len(hashes_NW), np.int64)
    for place, bit in enumerate(band.bits):
        word, shift = divmod(bit, WORD_BITS)
        bits = (hashes_NW[:, word] >> np.uint64(shift)) & np.uint64(1)
        keys |= bits.astype(np.int64) << place
    return keys


def _differing(
    left_NW: Words, left: NDArray[np.int64], right_NW: Words, right: NDArray[np.int64]
) -> NDArray[np.uint16]:
    total = np.zeros(len(left), np.uint16)
    for word in range(left_NW.shape[1]):
        total += np.bitwise_count(left_NW[left, word] ^ right_NW[right, word])
    return total
