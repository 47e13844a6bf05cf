"""A question becomes a vector, and the nearest rows become hits.

    texts, a picture ─ encoder ─ Σ wanted − weight · Σ unwanted ─ unit row ─ index ─ rows ─ hits

Every hit's row is read now and asked of the tombstones now, so what was taken down after the index
was built is not shown. Where that, or `unique`, leaves too few, more are asked for.

Shape suffixes: D embedding width, Q texts, K hits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from diagonal_data.rows import taken_down
from diagonal_data.tombstones import TAKEDOWN_COLUMNS
from diagonal_eval.embed import Encoder, embed_images, embed_texts
from diagonal_eval.explore.snapshot import Snapshot, read_snapshot
from diagonal_eval.search.config import SearchConfig
from diagonal_eval.search.index import Found, SearchIndex
from diagonal_eval.search.sources import Embeddings, Key
from diagonal_eval.zeroshot import normalise
from diagonal_infra import storage
from diagonal_infra.errors import StorageError, UserError

SHOWN = ("uid", "url", "caption", "key", "reason", "tar_offset", "tar_bytes")
COLUMNS = tuple(dict.fromkeys((*SHOWN, *TAKEDOWN_COLUMNS)))
MORE = 4
"""How many times as many rows are asked for when too few of them are hits."""
ROUNDING = 1e-5
"""Cosines of equal rows are this near to 1."""
CHUNK = 256
"""Rows whose samples are read at a time."""
Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A sample, and how near it is."""

    shard: str
    number: int
    """Among the stored rows of the shard, from 0."""
    cosine: float
    row: dict[str, Any]
    """Of the shard's row table, with `COLUMNS`."""


def question(config: SearchConfig, encoder: Encoder) -> Floats:
    """The unit row that is searched for.

    Raises:
        UserError: nothing is asked, the picture cannot be read, or what is wanted and what is not
            cancel out.
    """
    if not config.texts and not config.image:
        raise UserError("say what to look for: a text in quotes, or --image FILE")
    if any(not text.strip() for text in (*config.texts, *config.unwanted)):
        raise UserError("an empty text cannot be looked for")
    wanted = [_texts(encoder, config.texts)] if config.texts else []
    wanted += [_image(encoder, config.image)] if config.image else []
    total_D = np.concatenate(wanted).sum(axis=0)
    if config.unwanted:
        total_D = normalise(total_D[None])[0]
        total_D -= (
            config.unwanted_weight
            * normalise(_texts(encoder, config.unwanted).sum(axis=0)[None])[0]
        )
    if float(np.linalg.norm(total_D)) < ROUNDING:
        raise UserError("what is wanted and what is not cancel out; change --unwanted-weight")
    return normalise(total_D[None])[0]


def _texts(encoder: Encoder, texts: tuple[str, ...]) -> Floats:
    return normalise(embed_texts(encoder, list(texts), len(texts)))


def _image(encoder: Encoder, path: str) -> Floats:
    try:
        content = storage.read_bytes(path)
    except (OSError, StorageError) as error:
        raise UserError(f"--image {path!r} cannot be read: {error}") from error
    image_1D = normalise(embed_images(encoder, [content], 1))
    if not image_1D.any():
        raise UserError(f"--image {path!r} cannot be decoded as a picture")
    return image_1D


class Rows:
    """The samples that an index's rows are, as the dataset is now."""

    def __init__(self, embeddings: Embeddings, key: Key) -> None:
        self._embeddings = embeddings
        self._key: Key = key
        self._tables: dict[str, pa.Table] = {}

    @cached_property
    def _snapshot(self) -> Snapshot:
        return read_snapshot(self._embeddings.dataset.root)

    def hits(self, nearest: Sequence[Found]) -> Iterator[Hit]:
        """The samples in order, without those taken down or fetched again later.

        Raises:
            UserError: the embeddings are of other samples.
        """
        for start in range(0, len(nearest), CHUNK):
            part = nearest[start : start + CHUNK]
            wanted: dict[str, list[int]] = {}
            for shard, row, _ in part:
                wanted.setdefault(shard, []).append(row)
            there = {shard: self._there(shard, rows) for shard, rows in wanted.items()}
            for shard, row, cosine in part:
                if row in there[shard]:
                    yield Hit(shard=shard, number=row, cosine=cosine, row=there[shard][row])

    def vector(self, hit: Hit) -> Floats:
        """The unit row itself."""
        rows_ND = self._embeddings.rows(hit.shard, self._key)
        return normalise(rows_ND[hit.number : hit.number + 1])[0]

    def _there(self, shard: str, rows: list[int]) -> dict[int, dict[str, Any]]:
        table = self._table(shard).take(pa.array(rows))
        gone = taken_down(self._snapshot.dataset, table)
        latest = self._snapshot.latest(shard, table["uid"])
        there = ~gone if latest is None else ~gone & latest
        found = zip(rows, table.to_pylist(), there, strict=True)
        return {number: row for number, row, is_there in found if is_there}

    def _table(self, shard: str) -> pa.Table:
        if shard not in self._tables:
            table = self._snapshot.stored_rows(shard, COLUMNS)  # and `status`
            if self._embeddings.uids(shard) != table["uid"].to_pylist():
                raise UserError(
                    f"embeddings {self._embeddings.name!r} of shard {shard} are of other samples; "
                    "delete them and run 'make scores' again"
                )
            self._tables[shard] = table
        return self._tables[shard]


def find_hits(
    index: SearchIndex, rows: Rows, query_D: Floats, top: int, unique: float | None
) -> list[Hit]:
    """The nearest samples, best first; fewer than `top` only if there are no more."""
    asked = top
    while True:
        everything = asked >= len(index)
        hits = rows.hits(index.nearest(query_D, asked, all_rows=everything))
        if unique is not None:
            hits = _distinct(hits, rows, unique)
        best = list(islice(hits, top))
        if len(best) == top or everything:
            return best
        asked *= MORE


def _distinct(hits: Iterator[Hit], rows: Rows, unique: float) -> Iterator[Hit]:
    """Without those that are too near to one before."""
    before: list[Floats] = []
    for hit in hits:
        vector_D = rows.vector(hit)
        if before and float((np.stack(before) @ vector_D).max()) >= unique - ROUNDING:
            continue
        before.append(vector_D)
        yield hit
