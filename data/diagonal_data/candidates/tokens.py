"""A column of texts cut into tokens, and each token made a 64-bit key; numpy from end to end.

    words       MetaCLIP's spacing: cuts at blanks, tabs and line ends; , . ; : ? ! ` are words of
                their own. Two blanks in a row, or a sign and a blank, have an empty word between.
    characters  every code point is a token: for scripts that set no blanks

A key holds a token of up to 7 bytes whole (bytes below, length in the top byte), so that equal keys
mean equal tokens. Longer ones are hashed to 56 bits below a top byte of 0xFF: `same` compares them.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from diagonal_data.candidates.text_columns import joined

BLANK, SIGN = 1, 2
CUTS = bytes(BLANK if b in b" \t\n\r" else SIGN if b in b",.;:?!`" else 0 for b in range(256))
"""What each byte does; those of entries are cut at blanks only."""
BLANK_CUTS = bytes(BLANK if byte == ord(" ") else 0 for byte in range(256))

WHOLE_BYTES = 7
"""Longest token that its key holds whole."""
HASHED = np.uint64(0xFF << 56)
MASKS = np.array([(1 << 8 * length) - 1 for length in range(9)], np.uint64)
"""Of the lowest so many bytes."""
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Tokens of a column in their order; the arrays have an item per token."""

    eights: np.ndarray
    """The eight bytes from each byte of the text on, as a little-endian number; unaligned."""
    starts: np.ndarray
    lengths: np.ndarray
    """Bytes; int64, as `starts`."""
    rows: np.ndarray
    """Rising numbers of the texts; int32."""

    def load(self, tokens: np.ndarray | slice, word: int) -> np.ndarray:
        """Bytes 8·`word` and on of these tokens, zero from the token's end."""
        left = np.minimum(self.lengths[tokens] - 8 * word, 8)
        return self.eights[self.starts[tokens] + 8 * word] & MASKS[left]

    def keys(self) -> np.ndarray:
        """The key of each token, uint64."""
        keys = self.load(slice(None), 0)
        long = np.flatnonzero(self.lengths > WHOLE_BYTES)
        keys |= self.lengths.astype(np.uint64) << np.uint64(56)
        if len(long):
            keys[long] = self._hashes(long)
        return keys

    def _hashes(self, long: np.ndarray) -> np.ndarray:
        state = mix(self.load(long, 0) + self.lengths[long].astype(np.uint64))
        going, word = np.flatnonzero(self.lengths[long] > 8), 1
        while len(going):
            state[going] = mix(state[going] ^ self.load(long[going], word))
            word += 1
            going = going[self.lengths[long[going]] > 8 * word]
        return state | HASHED

    def same(self, tokens: np.ndarray, other: "Tokens", others: np.ndarray) -> np.ndarray:
        """Mask of the pairs of a token here and one of another column that are equal."""
        equal = self.lengths[tokens] == other.lengths[others]
        going, word = np.flatnonzero(equal), 0
        while len(going):
            differs = self.load(tokens[going], word) != other.load(others[going], word)
            equal[going[differs]] = False
            word += 1
            going = going[~differs & (self.lengths[tokens[going]] > 8 * word)]
        return equal

    def select(self, tokens: np.ndarray) -> "Tokens":
        """Some of the tokens, over the same text."""
        return Tokens(
            eights=self.eights,
            starts=self.starts[tokens],
            lengths=self.lengths[tokens],
            rows=self.rows[tokens],
        )


def words(texts: pa.Array, cuts: bytes = CUTS) -> Tokens:
    """The words of each text, empty ones too; a text has one at least. Null counts as empty."""
    text, offsets = text_of(joined([texts, pa.repeat(pa.scalar(""), len(texts))], " "))
    kinds = np.frombuffer(text.tobytes().translate(cuts), np.uint8)
    places = np.flatnonzero(kinds != 0)
    # A blank ends one token; a sign ends one and is the next.
    signs = kinds[places] == SIGN
    ends = np.repeat(places, 1 + signs)
    sign_tokens = np.flatnonzero(signs) + np.arange(1, np.count_nonzero(signs) + 1)
    ends[sign_tokens] += 1
    starts = np.empty_like(ends)
    starts[:1] = 0
    starts[1:] = ends[:-1] + 1
    after = sign_tokens + 1
    starts[sign_tokens] -= 1
    starts[after[after < len(starts)]] -= 1
    is_end = np.zeros(len(text), bool)
    is_end[offsets[1:] - 1] = True
    is_last = np.repeat(is_end[places], 1 + signs)
    rows = np.cumsum(is_last, dtype=np.int32) - is_last
    return Tokens(eights=_eights(text), starts=starts, lengths=ends - starts, rows=rows)


def characters(texts: pa.Array) -> Tokens:
    """The code points of each text; an empty text has none. Null counts as empty."""
    text, offsets = text_of(texts.fill_null(""))
    starts = np.flatnonzero((text & 0xC0) != 0x80)
    lengths = np.diff(starts, append=len(text))
    per_text = np.diff(np.searchsorted(starts, offsets))
    rows = np.repeat(np.arange(len(texts), dtype=np.int32), per_text)
    return Tokens(eights=_eights(text), starts=starts, lengths=lengths, rows=rows)


def text_of(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of a column without nulls one after the other, and where each text begins."""
    large = texts.cast(pa.large_string())
    _, offsets, content = large.buffers()
    bounds = np.frombuffer(offsets, np.int64)[large.offset : large.offset + len(large) + 1]
    if content is None:
        return np.zeros(0, np.uint8), bounds
    return np.frombuffer(content, np.uint8)[bounds[0] : bounds[-1]], bounds - bounds[0]


def mix(x: np.ndarray) -> np.ndarray:
    """The finalizer of SplitMix64 (Steele, Lea and Flood, 2014)."""
    x = (x ^ (x >> np.uint64(30))) * FIRST
    x = (x ^ (x >> np.uint64(27))) * SECOND
    return x ^ (x >> np.uint64(31))


def _eights(text: np.ndarray) -> np.ndarray:
    padded = np.concatenate([text, np.zeros(8, np.uint8)])
    return np.ndarray((len(text) + 1,), "<u8", padded.data, 0, (1,))
