"""Rows that are the same as another: by equal keys, or one text for each image.

Of equal rows the one stays that declares the most pixels, then the one with the shortest URL, then
the one with the lowest hash of all its columns. So it is the same one in whatever order they come.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from xxhash import xxh3_64_intdigest

from diagonal_data.candidates.text_columns import joined


def copies(first: np.ndarray, second: np.ndarray, rows: pa.Table, places: np.ndarray) -> np.ndarray:
    """Mask of the rows that are copies of another row, which stays.

    Args:
        first, second: keys, uint64; rows that have both in common are copies.
        rows: what the choice among them looks at; `url` and the hints are among its columns.
        places: in `rows` of what the keys are of.
    """
    order = np.lexsort((second, first))
    ours = order[_in_groups(first[order], second[order])]
    some = rows.take(pa.array(places[ours]))
    areas = _areas(some)
    url_bytes = pc.call_function("binary_length", [some["url"]]).to_numpy()
    order = np.lexsort((row_hashes(some), url_bytes, -areas, second[ours], first[ours]))
    ordered = ours[order]
    mask = np.zeros(len(first), bool)
    mask[ordered[1:]] = _equals_previous(first[ordered], second[ordered])
    return mask


def other_texts(keys: np.ndarray, lots: np.ndarray) -> np.ndarray:
    """Mask of the rows whose key another row with a lower lot has."""
    order = np.lexsort((lots, keys))
    mask = np.zeros(len(keys), bool)
    mask[order[1:]] = keys[order[1:]] == keys[order[:-1]]
    return mask


def text_hashes(texts: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """XXH3-64 of each text, uint64; null and the empty text are the same."""
    content = texts.cast(pa.large_binary()).fill_null(b"").to_pylist()
    return np.fromiter(map(xxh3_64_intdigest, content), np.uint64, len(content))


def row_hashes(rows: pa.Table) -> np.ndarray:
    """XXH3-64 over all columns of each row, uint64."""
    columns = [_as_text(column.combine_chunks()) for column in rows.columns]
    return text_hashes(joined(columns, "\x1f"))


def _as_text(column: pa.Array) -> pa.Array:
    if pa.types.is_list(column.type):
        if not pa.types.is_string(column.type.value_type):
            texts = [None if value is None else repr(value) for value in column.to_pylist()]
            return pa.array(texts, pa.large_string())
        column = pc.call_function("binary_join", [column, pa.scalar("\x1e")])
    return column.cast(pa.large_string())


def _areas(rows: pa.Table) -> np.ndarray:
    """Declared pixels; 0 where they are unknown."""
    sides = [rows[name].cast(pa.int64()).fill_null(0) for name in ("width_hint", "height_hint")]
    return sides[0].to_numpy() * sides[1].to_numpy()


def _in_groups(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Mask of sorted rows that have an equal beside them."""
    same = _equals_previous(first, second)
    mask = np.zeros(len(first), bool)
    mask[1:] = same
    mask[:-1] |= same
    return mask


def _equals_previous(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first[1:] == first[:-1]) & (second[1:] == second[:-1])
