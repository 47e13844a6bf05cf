"""A faiss index over all of a dataset's embeddings, built once and stored beside them.

    DATASET/embeddings/NAME/index-KEY-KIND-DIGEST.faiss   the index, then its length in 8 bytes

The digest is of what the index was built from, so that one of other shards, another model, or from
before a takedown was compacted is not found; it is deleted when the next one is built. A file
appears whole; one that a copy cut short has not its length at its end and is built again. Where the
folder cannot be written to, the index is built in memory each time.

Ids are shard number × 2³² + row. Rows of zeros or that are not finite are not in the index.

Shape suffixes: N rows, D embedding width, Q questions, K best.
"""

import logging
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diagonal_eval.search.kinds import (
    TRAIN_ROWS_PER_LIST,
    calibrate,
    empty_index,
    kind_for,
    lists_for,
    load_faiss,
    one_thread,
    search_whole,
)
from diagonal_eval.search.sources import Embeddings, Key, has_vector
from diagonal_infra import log, storage
from diagonal_infra.errors import StorageError, UserError

BLOCK_ROWS = 8192
QUESTIONS = 256
LENGTH = struct.Struct("<Q")
SHARD_BITS = 32
OTHER: dict[Key, Key] = {"image": "text", "text": "image"}
Found = tuple[str, int, float]
"""Shard, row and cosine."""
Floats = NDArray[np.float32]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SearchIndex:
    """A faiss index with the names of the shards that its ids number."""

    index: Any
    kind: str
    shards: tuple[str, ...]

    def __len__(self) -> int:
        """Rows that can be found."""
        return self.index.ntotal

    def nearest(self, query_D: Floats, most: int, *, all_rows: bool = False) -> list[Found]:
        """The nearest rows, best first; of equals the first in order.

        Args:
            query_D: a unit row.
            most: how many.
            all_rows: miss nothing, however long it takes.
        """
        most = min(most, len(self))
        if not most:
            return []
        with one_thread():
            cosine_1K, id_1K = (
                search_whole(self.index, self.kind, query_D[None], most)
                if all_rows
                else self.index.search(query_D[None], most)
            )
        found = [
            (float(cosine), int(place))
            for cosine, place in zip(cosine_1K[0], id_1K[0], strict=True)
            if place >= 0
        ]
        found.sort(key=lambda each: (-each[0], each[1]))
        mask = (1 << SHARD_BITS) - 1
        return [(self.shards[p >> SHARD_BITS], p & mask, cosine) for cosine, p in found]


def open_index(embeddings: Embeddings, key: Key, kind: str, width: int) -> SearchIndex:
    """The stored index, or a new one that is stored.

    Args:
        embeddings: of all shards.
        key: the vectors to search.
        kind: `auto`, `flat`, `hnsw` or `ivf`.
        width: of the model's embeddings.

    Raises:
        UserError: embeddings are missing or broken, of another width, or there is none at all.
    """
    kind = kind_for(kind, embeddings.samples)
    path = index_path(embeddings, key, kind)
    index = read_index(path)
    if index is None:
        index = build_index(embeddings, key, kind, width)
        _store(index, path, embeddings.folder, f"index-{key}-{kind}-")
    return SearchIndex(index=index, kind=kind, shards=embeddings.dataset.shards)


def index_path(embeddings: Embeddings, key: Key, kind: str) -> str:
    """Where an index of these embeddings as they are now is."""
    return storage.join(embeddings.folder, f"index-{key}-{kind}-{embeddings.digest}.faiss")


def build_index(embeddings: Embeddings, key: Key, kind: str, width: int) -> Any:
    """A faiss index of all rows; memory is that of the index and of a shard.

    Raises:
        UserError: as `open_index`.
    """
    logger.info(
        "building index kind=%s of=%s samples=%d", kind, embeddings.name, embeddings.samples
    )
    index = empty_index(kind, width, embeddings.samples)
    if not index.is_trained:
        rows = lists_for(embeddings.samples) * TRAIN_ROWS_PER_LIST
        index.train(_some(embeddings, key, rows, width)[0])
    shards = embeddings.dataset.shards
    with log.progress() as bar:
        for number, shard in bar.track(enumerate(shards), len(shards), description="index"):
            for start, block_ND in _blocks(embeddings, shard, key, width):
                usable_N = has_vector(block_ND)
                ids_N = _ids(number, start, len(block_ND))
                index.add_with_ids(block_ND[usable_N].astype(np.float32), ids_N[usable_N])
    if not index.ntotal:
        raise UserError(
            f"none of the {embeddings.samples} samples of {embeddings.dataset.root!r} has an "
            f"embedding in {embeddings.name!r}: there is none, or none could be decoded"
        )
    calibrate(index, kind, *_some(embeddings, OTHER[key], QUESTIONS, width))
    return index


def _blocks(
    embeddings: Embeddings, shard: str, key: Key, width: int
) -> Iterator[tuple[int, NDArray[np.floating]]]:
    rows_ND = embeddings.rows(shard, key)
    if rows_ND.shape[1] != width and len(rows_ND):
        raise UserError(
            f"embeddings {embeddings.name!r} of shard {shard} are {rows_ND.shape[1]} wide, the "
            f"model's are {width}; delete them and run 'make scores' again"
        )
    for start in range(0, len(rows_ND), BLOCK_ROWS):
        yield start, rows_ND[start : start + BLOCK_ROWS]


def _some(
    embeddings: Embeddings, key: Key, count: int, width: int
) -> tuple[Floats, NDArray[np.int64]]:
    """About `count` rows, evenly from everywhere, and their ids."""
    every, seen = max(1, embeddings.samples // count), 0
    rows, ids = [np.empty((0, width), np.float32)], [np.empty(0, np.int64)]
    for number, shard in enumerate(embeddings.dataset.shards):
        for start, block_ND in _blocks(embeddings, shard, key, width):
            some = slice(-seen % every, None, every)
            seen += len(block_ND)
            some_ND = block_ND[some].astype(np.float32)
            usable_N = has_vector(some_ND)
            rows.append(some_ND[usable_N])
            ids.append(_ids(number, start, len(block_ND))[some][usable_N])
    return np.concatenate(rows), np.concatenate(ids)


def _ids(number: int, start: int, count: int) -> NDArray[np.int64]:
    return np.arange(start, start + count) + (number << SHARD_BITS)


def read_index(path: str) -> Any | None:
    """The index at `path`; None if there is none that is whole. A local one is mapped."""
    faiss = load_faiss()
    if not storage.exists(path):
        return None
    local = storage.local_path(path)
    with storage.open_read(path) as file:
        end = file.seek(0, 2) - LENGTH.size
        if end < 0 or LENGTH.unpack(_at(file, end))[0] != end:
            logger.warning("index is not whole and is built again path=%s", path)
            return None
        try:
            if local is not None:
                mapped = faiss.IO_FLAG_MMAP if "-ivf-" in path else faiss.IO_FLAG_MMAP_IFC
                return faiss.read_index(local, mapped)
            file.seek(0)
            return faiss.read_index(faiss.PyCallbackIOReader(file.read))
        except RuntimeError as error:
            logger.warning("index cannot be read and is built again path=%s: %s", path, error)
            return None


def _at(file: Any, place: int) -> bytes:
    file.seek(place)
    return file.read(LENGTH.size)


def _store(index: Any, path: str, folder: str, prefix: str) -> None:
    """Write the index and delete those of the same kind that it replaces."""
    faiss = load_faiss()
    try:
        with storage.write_whole(path) as file:
            faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))
            file.write(LENGTH.pack(file.tell()))
    except (OSError, StorageError, RuntimeError) as error:
        logger.warning("index not stored, the next search builds it again error=%s", error)
        return
    for name in storage.list_files(folder, ".faiss"):
        if name.startswith(prefix) and not path.endswith(f"/{name}"):
            storage.delete(storage.join(folder, name))
