"""Many uids in little memory: 16 bytes each, in sorted arrays.

    add(batch) ─► sort the batch, look it up in every array, append what is new as one more array
                  arrays of like size are merged, so there are only about log2(n / batch) of them

A Python set of the same strings takes 129 bytes each; see docs/decisions/0002.
"""

import binascii
import re

import numpy as np
import pyarrow as pa

UID_BYTES = 16
UID_DTYPE = np.dtype(f"S{UID_BYTES}")
"""Compared as bytes, as wanted. An item that is taken out loses its trailing zeros: do not."""
HEX_DIGITS = 2 * UID_BYTES
DIGITS = re.compile("[0-9a-fA-F]+")


class MalformedUidError(ValueError):
    """A uid that is not 32 hex digits; the message shows it."""


class UidSet:
    """A set of packed uids that only grows."""

    def __init__(self) -> None:
        self._arrays: list[np.ndarray] = []

    def __len__(self) -> int:
        return sum(map(len, self._arrays))

    def add(self, uids: np.ndarray) -> np.ndarray:
        """Add packed uids; the mask of those that were not there, of equals the first."""
        order = np.argsort(uids, kind="stable")
        ordered = uids[order]
        is_new = ~self._has(ordered)
        is_new[1:] &= ordered[1:] != ordered[:-1]
        self._append(ordered[is_new])
        mask = np.zeros(len(uids), bool)
        mask[order[is_new]] = True
        return mask

    def _has(self, ordered: np.ndarray) -> np.ndarray:
        found = np.zeros(len(ordered), bool)
        for array in self._arrays:
            places = np.minimum(array.searchsorted(ordered), len(array) - 1)
            found |= array[places] == ordered
        return found

    def _append(self, ordered: np.ndarray) -> None:
        if not len(ordered):
            return
        self._arrays.append(ordered)
        while len(self._arrays) > 1 and len(self._arrays[-2]) < 2 * len(self._arrays[-1]):
            merged = np.concatenate([self._arrays.pop(), self._arrays.pop()])
            # The stable sort finds the two sorted halves and merges them in one pass.
            merged.sort(kind="stable")
            self._arrays.append(merged)


def packed_uids(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """A string column of hex uids as an array of `UID_DTYPE`, in order.

    Raises:
        MalformedUidError: a null, or a text that is not 32 hex digits.
    """
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    packed = [_packed_chunk(chunk) for chunk in chunks if len(chunk)]
    return np.concatenate(packed) if packed else np.empty(0, UID_DTYPE)


def _packed_chunk(chunk: pa.Array) -> np.ndarray:
    texts = chunk.cast(pa.string())
    _, offsets, characters = texts.buffers()
    assert offsets is not None
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    # A null has length 0.
    wrong = np.diff(ends) != HEX_DIGITS
    if wrong.any():
        raise MalformedUidError(repr(texts[int(wrong.argmax())].as_py()))
    try:
        packed = binascii.unhexlify(memoryview(characters)[ends[0] : ends[-1]])
    except (binascii.Error, UnicodeError) as error:
        first = next(text for text in texts.to_pylist() if not DIGITS.fullmatch(text))
        raise MalformedUidError(repr(first)) from error
    return np.frombuffer(packed, UID_DTYPE)
