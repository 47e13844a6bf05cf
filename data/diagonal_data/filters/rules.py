"""Which rows each rule drops, and under which reason.

A rule sees the whole table and the mask of rows still alive, because duplicates depend on the
others; the first rule that drops a row names the reason. Order: cheap and certain rules first, so
that a copy is only ever dropped in favour of a row that is really kept.
"""

from collections.abc import Iterator
from enum import StrEnum

import numpy as np
import pyarrow as pa

from diagonal_data.config import CaptionLength, Duplicates, FiltersConfig, HoldOut, ImageShape
from diagonal_data.dedup.duplicates import exact_copies, near_copies
from diagonal_data.parquet import read_parquet
from diagonal_data.rows import is_listed, taken_down
from diagonal_infra import storage
from diagonal_infra.errors import UserError

COLUMNS = (
    "uid",
    "url",
    "caption",
    "status",
    "reason",
    "original_width",
    "original_height",
    "sha256",
    "phash",
)
"""What the rules read of a row table."""


class DropReason(StrEnum):
    """Why a stored sample is not kept; failed rows keep their own `Reason`."""

    TAKEN_DOWN = "taken_down"
    HELD_OUT = "held_out"
    CAPTION_TOO_SHORT = "caption_too_short"
    CAPTION_TOO_LONG = "caption_too_long"
    IMAGE_TOO_SMALL = "original_too_small"
    ASPECT_TOO_WIDE = "aspect_too_wide"
    EXACT_DUPLICATE = "exact_duplicate"
    PERCEPTUAL_DUPLICATE = "perceptual_duplicate"


KEPT = ""
"""Stands where a dropped row has its reason."""

Verdict = tuple[str, np.ndarray]
"""A reason and the mask of rows it drops."""


def first_drop_reasons(rows: pa.Table, config: FiltersConfig) -> np.ndarray:
    """One string per row (dtype object): the reason it is dropped for, empty if it is kept."""
    reasons = np.array([reason or KEPT for reason in rows["reason"].to_pylist()], dtype=object)
    for reason, mask in _verdicts(rows, config, reasons):
        reasons[mask & (reasons == KEPT)] = reason
    return reasons


def _verdicts(rows: pa.Table, config: FiltersConfig, reasons: np.ndarray) -> Iterator[Verdict]:
    """Verdicts in order; the caller writes each into `reasons` before the next is computed."""
    yield DropReason.TAKEN_DOWN, taken_down(config.dataset, rows)
    yield DropReason.HELD_OUT, held_out(rows, config.hold_out)
    yield from caption_length(rows, config.caption)
    yield from image_shape(rows, config.image)
    yield from duplicates(rows, config.duplicates, reasons)


def held_out(rows: pa.Table, rule: HoldOut) -> np.ndarray:
    """Rows whose uid or url stands in the hold-out list.

    Raises:
        UserError: the list is missing or lacks the columns named.
    """
    if not rule.list:
        return np.zeros(rows.num_rows, dtype=bool)
    if not storage.exists(rule.list):
        raise UserError(f"no hold-out list at {rule.list!r}; check --hold-out.list")
    listed = read_parquet(rule.list)
    join_key = "uid" if "uid" in listed.column_names else "url"
    missing = [name for name in (join_key, *rule.columns) if name not in listed.column_names]
    if missing:
        raise UserError(
            f"hold-out list {rule.list!r} lacks {', '.join(missing)} "
            f"(it has {', '.join(listed.column_names)}); check --hold-out.columns"
        )
    if rule.columns:
        chosen = np.any([np.asarray(listed[name]) for name in rule.columns], axis=0)
        listed = listed.filter(pa.array(chosen))
    return is_listed(rows[join_key], listed[join_key])


def caption_length(rows: pa.Table, rule: CaptionLength) -> Iterator[Verdict]:
    """Captions with too few or too many words or characters."""
    captions = rows["caption"].to_pylist()
    chars = np.fromiter(map(len, captions), int, len(captions))
    words = np.fromiter((len(caption.split()) for caption in captions), int, len(captions))
    yield DropReason.CAPTION_TOO_SHORT, (chars < rule.min_chars) | (words < rule.min_words)
    yield (
        DropReason.CAPTION_TOO_LONG,
        _above(chars, rule.max_chars) | _above(words, rule.max_words),
    )


def image_shape(rows: pa.Table, rule: ImageShape) -> Iterator[Verdict]:
    """Originals that are too small or too elongated."""
    width, height = integers(rows["original_width"]), integers(rows["original_height"])
    short, long = np.minimum(width, height), np.maximum(width, height)
    yield DropReason.IMAGE_TOO_SMALL, short < rule.min_side
    if rule.max_aspect:
        yield DropReason.ASPECT_TOO_WIDE, long > rule.max_aspect * np.maximum(short, 1)


def duplicates(rows: pa.Table, rule: Duplicates, reasons: np.ndarray) -> Iterator[Verdict]:
    """Copies among the rows that no rule before has dropped."""
    areas = integers(rows["original_width"]) * integers(rows["original_height"])
    if rule.exact:
        alive = np.flatnonzero(reasons == KEPT)
        digests = np.array([digest or "" for digest in rows["sha256"].to_pylist()])[alive]
        copies = exact_copies(digests, areas[alive])
        yield DropReason.EXACT_DUPLICATE, _mask(alive[copies], rows.num_rows)
    if rule.max_hamming >= 0:
        alive = np.flatnonzero(reasons == KEPT)
        hashes = integers(rows["phash"], np.uint64)[alive]
        copies = near_copies(hashes, areas[alive], rule.max_hamming)
        yield DropReason.PERCEPTUAL_DUPLICATE, _mask(alive[copies], rows.num_rows)


def integers(column: pa.ChunkedArray, dtype: type = np.int64) -> np.ndarray:
    """An integer column as an array, null as 0."""
    filled = column.combine_chunks().fill_null(0)
    return filled.to_numpy(zero_copy_only=False).astype(dtype)


def _mask(rows: np.ndarray, length: int) -> np.ndarray:
    mask = np.zeros(length, dtype=bool)
    mask[rows] = True
    return mask


def _above(values: np.ndarray, limit: int) -> np.ndarray:
    return values > limit if limit else np.zeros(len(values), dtype=bool)
