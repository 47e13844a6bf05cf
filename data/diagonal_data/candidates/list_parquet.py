"""URL lists in Parquet, a batch of columns at a time: what `found_in_row` gives, row by row."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from diagonal_data.candidates.found import FOUND_SCHEMA, ImageOutcome
from diagonal_data.candidates.list_columns import (
    HINTS,
    MAX_HINT,
    REQUIRED,
    TEXTS,
    WEB,
    boxes_of,
    columns_for,
    pixels_of,
)


def parquet_found(
    file: IO[Any], path: str, counts: Counter[str], start: int, end: int | None, batch_rows: int
) -> Iterator[pa.Table]:
    """Tables of `FOUND_SCHEMA` of the row groups that begin in [start, end).

    Raises:
        UserError: no column for the URL or the caption.
    """
    opened = pq.ParquetFile(file)
    columns = columns_for(opened.schema_arrow.names, path)
    begins = [_begin(opened.metadata.row_group(i)) for i in range(opened.num_row_groups)]
    groups = [i for i, at in enumerate(begins) if start <= at and (end is None or at < end)]
    wanted = list(columns.values())
    for batch in opened.iter_batches(batch_rows, groups, columns=wanted, use_threads=False):
        yield _found_of_batch(batch, columns, counts)


def _begin(group: Any) -> int:
    column = group.column(0)
    begins = (column.dictionary_page_offset, column.data_page_offset)
    return min(at for at in begins if at is not None)


def _found_of_batch(
    batch: pa.RecordBatch, columns: Mapping[str, str], counts: Counter[str]
) -> pa.Table:
    ours = {name: batch.column(theirs) for name, theirs in columns.items()}
    urls = _trimmed(_texts(ours["url"]))
    captions = _texts(ours["caption"])
    has_url, has_text = _is_filled(urls), _is_filled(_trimmed(captions))
    on_web = np.zeros(len(urls), bool)
    for scheme in WEB:
        options = pc.MatchSubstringOptions(scheme, ignore_case=True)
        on_web |= np.asarray(pc.call_function("starts_with", [urls], options))
    keep = has_url & on_web & has_text
    counts[ImageOutcome.NO_URL] += int((~has_url).sum())
    counts[ImageOutcome.BAD_URL] += int((has_url & ~on_web).sum())
    counts[ImageOutcome.NO_TEXT] += int((has_url & on_web & ~has_text).sum())
    counts[ImageOutcome.FOUND] += int(keep.sum())
    chosen, rows = pa.array(keep), int(keep.sum())
    ends = pa.array(np.arange(rows + 1, dtype=np.int32))
    found = {f.name: pa.nulls(rows, f.type) for f in FOUND_SCHEMA}
    for name in set(ours) - set(REQUIRED):
        found[name] = _known(name, ours[name].filter(chosen))
    found["url"] = urls.filter(chosen)
    found["texts"] = pa.ListArray.from_arrays(ends, captions.filter(chosen))
    found["sources"] = pa.ListArray.from_arrays(ends, pa.array(["list"] * rows, pa.string()))
    return pa.Table.from_arrays([found[name] for name in FOUND_SCHEMA.names], schema=FOUND_SCHEMA)


def _known(name: str, column: pa.Array) -> pa.Array:
    kind = FOUND_SCHEMA.field(name).type
    if name in TEXTS:
        texts = _texts(column)
        return pc.call_function(
            "if_else", [pa.array(_is_filled(texts)), texts, pa.scalar(None, kind)]
        )
    if name in HINTS and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        pixels = column.cast(pa.float64()).fill_null(0).to_numpy(zero_copy_only=False)
        known = (pixels >= 1) & (pixels <= MAX_HINT)
        return pa.array(np.where(known, pixels, 0).astype(np.int32), kind, mask=~known)
    read = pixels_of if name in HINTS else boxes_of
    return pa.array([read(value) for value in column.to_pylist()], kind)


def _texts(column: pa.Array) -> pa.Array:
    """Strings without nulls; what is none, or no UTF-8, is replaced."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return pa.array([""] * len(column), pa.string())
    texts = column.cast(pa.string()).fill_null("")
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        read = texts.cast(pa.binary()).to_pylist()
        texts = pa.array([text.decode("utf-8", "replace") for text in read], pa.string())
    return texts


def _trimmed(texts: pa.Array) -> pa.Array:
    return pc.call_function("utf8_trim_whitespace", [texts])


def _is_filled(texts: pa.Array) -> np.ndarray:
    lengths = pc.call_function("binary_length", [texts])
    return lengths.to_numpy(zero_copy_only=False) > 0
