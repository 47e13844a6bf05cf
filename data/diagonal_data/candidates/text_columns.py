"""What a column of texts says, all rows at once: Arrow's kernels behind plain functions.

Patterns are RE2's: linear time whatever the text, no look-around, no back references.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def matches(texts: pa.Array | pa.ChunkedArray, pattern: str) -> np.ndarray:
    """Mask of the texts in which the pattern is found; a null has none."""
    options = pc.MatchSubstringOptions(pattern)
    found = pc.call_function("match_substring_regex", [texts], options)
    return np.asarray(found.fill_null(False), bool)


def replaced(texts: pa.Array | pa.ChunkedArray, pattern: str, by: str) -> pa.Array:
    """The texts with every match replaced."""
    options = pc.ReplaceSubstringOptions(pattern, by)
    return pc.call_function("replace_substring_regex", [texts], options)


def num_chars(texts: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Code points of each text; a null has none."""
    return np.asarray(pc.call_function("utf8_length", [texts]).fill_null(0))


def num_spaces(texts: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Blanks in each text; a null has none."""
    options = pc.MatchSubstringOptions(" ")
    return np.asarray(pc.call_function("count_substring", [texts], options).fill_null(0))


def as_strings(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One array of `string`, whatever came: chunks, `large_string`, a dictionary."""
    whole = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    return whole.cast(pa.string())


def num_matches(texts: pa.Array | pa.ChunkedArray, pattern: str) -> np.ndarray:
    """How often the pattern is found in each text, overlaps not counted; a null has none."""
    options = pc.MatchSubstringOptions(pattern)
    return np.asarray(pc.call_function("count_substring_regex", [texts], options).fill_null(0))


def joined(columns: Sequence[pa.Array | pa.ChunkedArray], separator: str) -> pa.Array:
    """The texts of each row with a separator between them, large_string; a null is ""."""
    wide = [column.cast(pa.large_string()) for column in columns]
    options = pc.JoinOptions("replace", "")
    between = pa.scalar(separator, pa.large_string())
    return pc.call_function("binary_join_element_wise", [*wide, between], options)
