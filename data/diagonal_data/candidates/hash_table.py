"""Look-ups of many 64-bit keys at once: a table with open addressing, in numpy.

A key is looked for at its own slot and then at the slots after it, up to an empty one. Nearly all
look-ups end at the first or second; those that do not are followed on together, fewer at each step.
A key and its value lie side by side: time goes into lines of memory that are in no cache, and so
there is one for each look-up, not two. Where most keys are absent, a sieve goes before the table.
"""

import numpy as np

EMPTY = np.uint64(0xFE << 56)
"""No key may be this number."""
SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""2⁶⁴ over the golden ratio: Fibonacci hashing (Knuth, volume 3, 6.4)."""
BITS = np.array([1 << bit for bit in range(8)], np.uint8)
HALF = np.uint64(32)
MIN_BITS = 4


class HashTable:
    """From distinct keys to values, both uint64."""

    def __init__(self, keys: np.ndarray, values: np.ndarray, absent: np.uint64) -> None:
        """`absent` is the value of all other keys."""
        # Between an eighth and a quarter of the slots is filled.
        bits = max(MIN_BITS, (4 * len(keys)).bit_length())
        self._absent, self._last = absent, (1 << bits) - 1
        self._shift = np.uint64(64 - bits)
        self._cells = np.full(2 << bits, EMPTY)
        there, stored = self._cells[::2], self._cells[1::2]
        left, slots = np.arange(len(keys)), self._slots(keys)
        while len(left):
            free = there[slots] == EMPTY
            # Of several keys for one slot the last assigned stays; the others go on.
            there[slots[free]] = keys[left[free]]
            homeless = there[slots] != keys[left]
            stored[slots[~homeless]] = values[left[~homeless]]
            left, slots = left[homeless], (slots[homeless] + 1) & self._last

    def find(self, keys: np.ndarray) -> np.ndarray:
        """The value of each key."""
        slots = self._slots(keys)
        there = self._cells[slots << 1]
        found = self._cells[(slots << 1) + 1]
        going = np.flatnonzero(there != keys)
        found[going] = self._absent
        there, slots, keys = there[going], slots[going], keys[going]
        while len(going):
            on = np.flatnonzero((there != keys) & (there != EMPTY))
            going, slots, keys = going[on], (slots[on] + 1) & self._last, keys[on]
            there = self._cells[slots << 1]
            hit = np.flatnonzero(there == keys)
            found[going[hit]] = self._cells[(slots[hit] << 1) + 1]
        return found

    def _slots(self, keys: np.ndarray) -> np.ndarray:
        return (hashes_of(keys) >> self._shift).astype(np.int64)


class Sieve:
    """A bitmap that most other keys do not pass; small enough for a cache, unlike the table."""

    def __init__(self, keys: np.ndarray) -> None:
        # Between a 64th and a 32nd of the bits is set.
        bits = max(MIN_BITS, (4 * len(keys)).bit_length()) + 3
        self._shift = np.uint64(64 - bits)
        self._bitmap = np.zeros(1 << (bits - 3), np.uint8)
        places = self._places(keys)
        np.bitwise_or.at(self._bitmap, places >> 3, BITS[places & 7])

    def passing(self, keys: np.ndarray) -> np.ndarray:
        """Places of the keys that may be among the given ones; all that are, are."""
        places = self._places(keys)
        return np.flatnonzero((self._bitmap[places >> 3] & BITS[places & 7]) != 0)

    def _places(self, keys: np.ndarray) -> np.ndarray:
        return (hashes_of(keys) >> self._shift).astype(np.int64)


def hashes_of(keys: np.ndarray) -> np.ndarray:
    """Numbers whose upper bits are spread."""
    # Keys are not random: without the upper half in the lower, runs of them share their slots.
    return (keys ^ (keys >> HALF)) * SPREAD
