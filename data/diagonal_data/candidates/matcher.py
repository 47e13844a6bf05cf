"""Metadata entries in captions, as MetaCLIP matches them (Xu et al., 2023, arXiv:2309.16671).

The rule: the caption gets a blank at both ends and around each of , . ; : ? ! ` and blanks for tabs
and line ends; an entry matches if ` entry ` stands in it, case and all. So entries are runs of
whole words between single blanks. In scripts without blanks an entry matches wherever it stands
(Chuang et al., 2025, arXiv:2507.22062), as a run of characters.

Both are runs of tokens, and are found by walking a tree of tokens from every token of a column at
once:

    vocabulary   key of a token → its number, which is the state after the run of that token alone
    edges        state << 32 | number of the next token → state

A step is taken only by the runs that begin some longer entry, so that few are left after two or
three. Keys of edges are exact, keys of long words are compared by their bytes (tokens.py): what is
found is what searching for each of the 500,000 texts would find.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from diagonal_data.candidates.hash_table import HashTable, Sieve
from diagonal_data.candidates.tokens import BLANK_CUTS, WHOLE_BYTES, Tokens, characters, words

LOW, PLACE, GOES_ON = np.uint64(2**32 - 1), np.uint64((2**31 - 1) << 32), np.uint64(1 << 63)
"""Parts of what the tables hold; see `Tree.values`."""
ABSENT = LOW
"""No place, no longer entry, and a number that is in no edge."""
ROWS_AT_ONCE = 4096
"""So few that the arrays of a step stay in a core's cache."""


class Matcher:
    """A list of entries, which are known by their places in it; of equal ones by the first."""

    def __init__(self, entries: Sequence[str], *, spaced: bool = True) -> None:
        """Without `spaced` entries match at any character."""
        self._spaced = spaced
        texts = pa.array(entries, pa.large_string())
        tokens = words(texts, BLANK_CUTS) if spaced else characters(texts)
        keys, first, numbers = np.unique(tokens.keys(), return_index=True, return_inverse=True)
        self._known = tokens.select(first)
        every = np.arange(len(numbers))
        assert tokens.same(every, self._known, numbers).all(), "two words of one hash"
        counts = np.bincount(tokens.rows, minlength=len(texts))
        places = np.flatnonzero([bool(entry) for entry in entries])
        tree = _grow(numbers, counts, places, len(keys))
        values = tree.values()
        self._vocabulary = HashTable(keys, values[: len(keys)], ABSENT)
        self._edges = HashTable(tree.edges, values[len(keys) :], ABSENT)
        self._sieve = Sieve(tree.edges)

    def matches(self, captions: pa.Array) -> pa.ListArray:
        """Places of the entries in each caption, in rising order, each once; list<int32>.

        A caption that is null has none.
        """
        starts = range(0, len(captions), ROWS_AT_ONCE)
        parts = [self._matches(captions.slice(start, ROWS_AT_ONCE)) for start in starts]
        counts = np.concatenate([np.zeros(1, np.int64), *(counts for counts, _ in parts)])
        found = np.concatenate([np.zeros(0, np.int32), *(found for _, found in parts)])
        offsets = np.cumsum(counts).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(found))

    def _matches(self, captions: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """How many entries each caption holds, and the entries."""
        tokens = words(captions) if self._spaced else characters(captions)
        pairs = [np.zeros(0, np.int64)]
        for rows, places in self._walk(tokens):
            pairs.append(rows.astype(np.int64) << 32 | (places.astype(np.int64) - 1))
        found = np.sort(np.concatenate(pairs))
        found = found[np.diff(found, prepend=-1) != 0]
        counts = np.bincount(found >> 32, minlength=len(captions))
        return counts, (found & 0xFFFFFFFF).astype(np.int32)

    def _walk(self, tokens: Tokens) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows and places + 1 of what is found, by the number of tokens; repeats included."""
        found = self._vocabulary_values(tokens)
        numbers = found & LOW
        goes_on = np.zeros(len(found), bool)
        goes_on[:-1] = tokens.rows[1:] == tokens.rows[:-1]
        # Of each run the place of its last token.
        last = np.arange(len(found))
        while len(last):
            ending = np.flatnonzero((found & PLACE) != 0)
            yield tokens.rows[last[ending]], (found[ending] & PLACE) >> np.uint64(32)
            on = np.flatnonzero((found >= GOES_ON) & goes_on[last])
            following = last[on] + 1
            edges = (found[on] & LOW) << np.uint64(32) | numbers[following]
            passing = self._sieve.passing(edges)
            last, found = following[passing], self._edges.find(edges[passing])

    def _vocabulary_values(self, tokens: Tokens) -> np.ndarray:
        values = self._vocabulary.find(tokens.keys())
        long = np.flatnonzero((values != ABSENT) & (tokens.lengths > WHOLE_BYTES))
        numbers = (values[long] & LOW).astype(np.int64)
        values[long[~tokens.same(long, self._known, numbers)]] = ABSENT
        return values


@dataclass(frozen=True, kw_only=True)
class Tree:
    """Runs of tokens that begin entries; a state per run, those of one token come first."""

    edges: np.ndarray
    """Of the states after the first ones, in their order."""
    places: np.ndarray
    """Of the entry that each state is; -1 of none."""

    def values(self) -> np.ndarray:
        """What the tables hold: `GOES_ON` | place + 1 | state, from the highest bit on."""
        states = np.arange(len(self.places), dtype=np.uint64)
        values = (self.places + 1).astype(np.uint64) << np.uint64(32) | states
        values[(self.edges >> np.uint64(32)).astype(np.int64)] |= GOES_ON
        return values


def _grow(numbers: np.ndarray, counts: np.ndarray, places: np.ndarray, num_words: int) -> Tree:
    """The tree, one level of tokens after the other.

    Args:
        numbers: of the tokens of all entries.
        counts: tokens of each entry.
        places: of the entries that can match.
        num_words: different tokens.
    """
    numbers, starts = numbers.astype(np.uint64), np.cumsum(counts) - counts
    states, num_states, depth = numbers[starts[places]], num_words, 1
    ends, edges = [(np.zeros(0, np.uint64), places[:0])], [np.zeros(0, np.uint64)]
    while len(places):
        done = counts[places] == depth
        ends.append((states[done], places[done]))
        places, states = places[~done], states[~done]
        keys = states << np.uint64(32) | numbers[starts[places] + depth]
        new, states = np.unique(keys, return_inverse=True)
        states = states.astype(np.uint64) + np.uint64(num_states)
        edges.append(new)
        num_states += len(new)
        depth += 1
    state_places = np.full(num_states, -1, np.int64)
    states, places = (np.concatenate(parts) for parts in zip(*ends, strict=True))
    # Of equal entries the first is assigned last. They are of one level, so in order in it.
    state_places[states[::-1].astype(np.int64)] = places[::-1]
    return Tree(edges=np.concatenate(edges), places=state_places)
