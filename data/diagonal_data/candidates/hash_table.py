"""Look-ups of many 64-bit keys at once: a table with open addressing, in numpy.

A key is looked for at its own slot and then at the slots after it, up to an empty one. Nearly all
look-ups end at the first or second; those that do not are followed on together, fewer at each step.
A key and its value lie side by side: time goes into lines of memory that are in no cache, and so
there is one for each look-up, not two. Most absent keys are known by a bitmap that is in the cache.
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
        # Between an eighth and a quarter of the slots is filled, a 64th to a 32nd of the bits.
        bits = max(MIN_BITS, (4 * len(keys)).bit_length())
        self._absent, self._last = absent, (1 << bits) - 1
        self._slot_shift, self._bit_shift = np.uint64(64 - bits), np.uint64(61 - bits)
        self._bitmap = np.zeros(1 << bits, np.uint8)
        hashes = self._hashes(keys)
        places = (hashes >> self._bit_shift).astype(np.int64)
        np.bitwise_or.at(self._bitmap, places >> 3, BITS[places & 7])
        self._cells = np.full(2 << bits, EMPTY)
        there, stored = self._cells[::2], self._cells[1::2]
        left, slots = np.arange(len(keys)), (hashes >> self._slot_shift).astype(np.int64)
        while len(left):
            free = there[slots] == EMPTY
            # Of several keys for one slot the last assigned stays; the others go on.
            there[slots[free]] = keys[left[free]]
            homeless = there[slots] != keys[left]
            stored[slots[~homeless]] = values[left[~homeless]]
            left, slots = left[homeless], (slots[homeless] + 1) & self._last

    def find(self, keys: np.ndarray) -> np.ndarray:
        """The value of each key."""
        found = np.full(len(keys), self._absent)
        hashes = self._hashes(keys)
        places = (hashes >> self._bit_shift).astype(np.int64)
        going = np.flatnonzero((self._bitmap[places >> 3] & BITS[places & 7]) != 0)
        slots, keys = (hashes[going] >> self._slot_shift).astype(np.int64), keys[going]
        while len(going):
            there = self._cells[slots << 1]
            hit = np.flatnonzero(there == keys)
            found[going[hit]] = self._cells[(slots[hit] << 1) + 1]
            on = np.flatnonzero((there != keys) & (there != EMPTY))
            going, slots, keys = going[on], (slots[on] + 1) & self._last, keys[on]
        return found

    def _hashes(self, keys: np.ndarray) -> np.ndarray:
        # Keys are not random: without the upper half in the lower, runs of them share their slots.
        return (keys ^ (keys >> HALF)) * SPREAD
