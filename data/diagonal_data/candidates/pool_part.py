"""One partition of what was read to rows of the pool: clean, remove copies, name, match.

Every row that was read is a row of the pool, with the reason why it is no candidate, or null. All
addresses of one picture are in one partition, so that its copies meet here.
"""

from enum import StrEnum
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from diagonal_data.candidates.clean import clean_columns
from diagonal_data.candidates.clean_rules import CaptionReason
from diagonal_data.candidates.copies import copies, other_texts, shared, text_hashes
from diagonal_data.candidates.entries import entry_matcher
from diagonal_data.candidates.exchange import read_partition
from diagonal_data.candidates.found import FOUND_SCHEMA
from diagonal_data.candidates.language import Languages
from diagonal_data.candidates.stages import POOL, PoolParams, write_table
from diagonal_data.candidates.uids import UID_TYPE, halves_of, uids_for
from diagonal_data.filters.draws import draw
from diagonal_data.schema import CANDIDATE_SCHEMA
from diagonal_infra import storage


class PoolReason(StrEnum):
    """Why a row with a good caption is no candidate."""

    DUPLICATE = "duplicate"
    OTHER_TEXT = "other_text_of_image"
    FREQUENT_CAPTION = "frequent_caption"
    NO_ENTRY = "no_entry"
    BALANCED_AWAY = "balanced_away"


REASONS = (*CaptionReason, *PoolReason)
ALIVE = -1
READ_SCHEMA = FOUND_SCHEMA.append(pa.field("key", pa.uint64()))
AS_FOUND = ("page_url", "page_lang", "width_hint", "height_hint", "licence", "face_bboxes")
POOL_SCHEMA = pa.schema(
    [
        pa.field("uid", UID_TYPE),
        *(field for field in CANDIDATE_SCHEMA if field.name not in ("uid", "keep_p")),
        pa.field("caption_hash", pa.uint64()),
        pa.field("reason", pa.dictionary(pa.int8(), pa.string())),
    ]
)
"""`uid`, `matches` and `caption_hash` are null where nothing needs them: in rows with a reason."""


class Rows:
    """A partition at work: columns, and why rows are out."""

    def __init__(self, found: pa.Table, captions: pa.Array, codes: np.ndarray) -> None:
        self.found = found
        self.captions = captions
        self.codes = codes
        """Place in `REASONS` of each row; int8, `ALIVE` of none."""
        self.keys = found["key"].to_numpy()

    def alive(self) -> np.ndarray:
        """Places of the rows without a reason."""
        return np.flatnonzero(self.codes == ALIVE)

    def drop(self, places: np.ndarray, reason: StrEnum) -> None:
        """Give these rows a reason."""
        self.codes[places] = REASONS.index(reason)


def build_pool(params: PoolParams, partition: int) -> None:
    """Write a partition's pool file, unless it is there."""
    path = params.path(POOL, partition)
    if storage.exists(path):
        return
    tables = read_partition(params.read_paths, partition)
    found = pa.concat_tables([READ_SCHEMA.empty_table(), *tables]).combine_chunks()
    table = pool_table(params, found)
    write_table(path, table, {}, compression="lz4")


def pool_table(params: PoolParams, found: pa.Table) -> pa.Table:
    """The pool's rows for rows of `READ_SCHEMA`, in the same order."""
    cleaned = clean_columns(found["texts"], params.rules)
    codes = np.asarray(cleaned.reasons.indices.fill_null(ALIVE)).astype(np.int8)
    rows = Rows(found, cleaned.captions, codes)
    if params.dedup.by != "none":
        drop_copies(rows)
    columns: dict[str, Any] = languages(params, rows)
    uids = name_rows(params, rows)
    alive = rows.alive()
    columns["uid"] = spread(uids, alive, len(found))
    alive_captions = rows.captions.take(pa.array(alive))
    if params.balance.metadata is not None:
        matcher = entry_matcher(params.balance.metadata, params.entries_digest or "")
        lists = matcher.matches(alive_captions, columns["lang"].take(pa.array(alive)))
        columns["matches"] = spread(lists, alive, len(found))
    if params.max_per_caption:
        hashes = pa.array(text_hashes(alive_captions))
        columns["caption_hash"] = spread(hashes, alive, len(found))
    columns |= texts_of(found, cleaned.places)
    columns |= {name: found[name] for name in ("url", *AS_FOUND)}
    columns["caption"] = rows.captions
    names = pa.array([str(reason) for reason in REASONS])
    indices = pa.array(rows.codes, mask=rows.codes == ALIVE)
    columns["reason"] = pa.DictionaryArray.from_arrays(indices, names)
    nothing = {f.name: pa.nulls(len(found), f.type) for f in POOL_SCHEMA if f.name not in columns}
    return pa.table(columns | nothing).select(POOL_SCHEMA.names).cast(POOL_SCHEMA)


def drop_copies(rows: Rows) -> None:
    """Drop living rows that have picture and caption in common with a preferred one."""
    alive = rows.alive()
    places = alive[shared(rows.keys[alive])]
    hashes = text_hashes(rows.captions.take(pa.array(places)))
    out = copies(rows.keys[places], hashes, rows.found, places)
    rows.drop(places[out], PoolReason.DUPLICATE)


def languages(params: PoolParams, rows: Rows) -> dict[str, pa.Array]:
    """`lang` and `lang_p`, as a list states it or as detected; drops other languages."""
    stated = rows.found["lang"].combine_chunks()
    lang = stated.to_numpy(zero_copy_only=False)
    probabilities = np.full(len(lang), np.nan, np.float32)
    if params.detect_language:
        ask = rows.alive()[np.asarray(stated.take(pa.array(rows.alive())).is_null())]
        lang = lang.copy()
        if len(ask):
            found, probabilities[ask] = _detector().detect(
                rows.captions.take(pa.array(ask)).to_pylist()
            )
            lang[ask] = found
    column = pa.array(lang, pa.string())
    if params.kept_languages:
        options = pc.SetLookupOptions(pa.array(sorted(params.kept_languages)))
        kept = np.asarray(pc.call_function("is_in", [column], options))
        alive = rows.alive()
        rows.drop(alive[~kept[alive]], CaptionReason.OTHER_LANGUAGE)
    return {"lang": column, "lang_p": pa.array(probabilities, mask=np.isnan(probabilities))}


def name_rows(params: PoolParams, rows: Rows) -> pa.FixedSizeBinaryArray:
    """The uids of the rows that are still alive; drops what a uid allows to tell."""
    alive = pa.array(rows.alive())
    uids = uids_for(rows.found["url"].combine_chunks().take(alive), rows.captions.take(alive))
    halves, places = halves_of(uids), rows.alive()
    if params.dedup.by == "url":
        lots = draw(params.balance.seed, halves, "sample")
        out = other_texts(rows.keys[places], lots)
        rows.drop(places[out], PoolReason.OTHER_TEXT)
    elif params.dedup.by == "none":
        # A uid is a key: each stands once, whatever the rule.
        out = copies(halves[:, 0], halves[:, 1], rows.found, places)
        rows.drop(places[out], PoolReason.DUPLICATE)
    else:
        return uids
    return uids.filter(pa.array(~out))


def texts_of(found: pa.Table, places: np.ndarray) -> dict[str, pa.Array]:
    """`caption_raw`, `source` and `other_texts`, where the text at each place is the caption's."""
    texts, sources = (found[name].combine_chunks() for name in ("texts", "sources"))
    counts = np.asarray(texts.value_lengths().fill_null(0), np.int64)
    starts = np.cumsum(counts) - counts
    chosen = pa.array(starts + places, mask=places < 0)
    values = texts.flatten()
    others = np.ones(len(values), bool)
    others[(starts + places)[places >= 0]] = False
    lengths = counts - (places >= 0)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return {
        "caption_raw": values.take(chosen),
        "source": sources.flatten().take(chosen),
        "other_texts": pa.ListArray.from_arrays(
            pa.array(offsets), values.filter(pa.array(others)), mask=pa.array(lengths == 0)
        ),
    }


def spread(values: pa.Array, places: np.ndarray, length: int) -> pa.Array:
    """A column that is null but for the values at these places, which rise."""
    if len(places) == length:
        return values
    at = np.zeros(length, np.int64)
    at[places] = np.arange(len(places))
    gone = np.ones(length, bool)
    gone[places] = False
    return values.take(pa.array(at, mask=gone))


@cache
def _detector() -> Languages:
    return Languages()
