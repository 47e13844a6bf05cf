"""Words of captions, counted as Python's `str.split` separates them but a column at a time."""

import numpy as np
import pyarrow as pa

WIDE_SPACES = tuple(
    character.encode() for character in map(chr, range(0x80, 0x3001)) if character.isspace()
)
"""The other white space of Unicode, in UTF-8: it begins with C2, E1, E2 or E3."""


def count_words(captions: pa.Array) -> np.ndarray:
    """Words of each caption as `len(caption.split())`; 0 where there is none. int32."""
    texts = captions.cast(pa.large_string())
    _, offsets, characters = texts.buffers()
    ends = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    if characters is None or ends[-1] == ends[0]:
        return np.zeros(len(texts), np.int32)
    text = np.frombuffer(characters, np.uint8)[ends[0] : ends[-1]]
    space = _is_space(text)
    starts = ~space
    starts[1:] &= space[:-1]
    ends = ends - ends[0]
    # A caption's first letter starts a word, whatever the caption before ends with.
    filled = ends[:-1][ends[1:] > ends[:-1]]
    starts[filled] = ~space[filled]
    return np.diff(np.searchsorted(np.flatnonzero(starts), ends)).astype(np.int32)


def _is_space(text: np.ndarray) -> np.ndarray:
    """Mask of the bytes that belong to white space."""
    # Unsigned, what is below the range wraps round to above it: \t to \r, and 0x1C to the blank.
    space = (text - np.uint8(0x09) < 5) | (text - np.uint8(0x1C) < 5)
    places = np.flatnonzero((text == WIDE_SPACES[0][0]) | (text - np.uint8(0xE1) < 3))
    padded = np.concatenate([text, np.zeros(2, np.uint8)])
    for pattern in WIDE_SPACES:
        found = places
        for step, byte in enumerate(pattern):
            found = found[padded[found + step] == byte]
        for step in range(len(pattern)):
            space[found + step] = True
    return space
