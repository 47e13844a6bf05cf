"""A dataset folder as an index.

    manifest.json ─► row tables ─► times the keep list ─► minus tombstones ─► IndexTable

The row tables themselves are read once: manifest, keep list and tombstones name what is in the
index, and their hash is its key in the cache.
"""

import hashlib
import logging
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from diagonal_data.filters.keep_list import (
    UID_DTYPE,
    filter_folder,
    halves_of,
    read_keep_list,
    times_listed,
)
from diagonal_data.manifest import manifest_path, read_manifest, shards_folder
from diagonal_data.rows import read_rows, taken_down
from diagonal_data.tombstones import TAKEDOWN_COLUMNS
from diagonal_data.uid_set import HEX_DIGITS, UID_BYTES, MalformedUidError, packed_uids
from diagonal_infra import storage
from diagonal_infra.errors import UserError
from diagonal_train.streaming.index_cache import (
    COLUMNS,
    FORMAT_VERSION,
    IndexTable,
    ShardFile,
    cached,
)

ROW_COLUMNS = ["uid", "status", "tar_offset", "tar_bytes"]
LARGE_KEEP_LIST = 1000
"""Of this many entries on, a share below `LEAST_FOUND` is suspicious."""
LEAST_FOUND = 0.01
logger = logging.getLogger(__name__)


def open_dataset(dataset: str, name: str | None, *, cache: str | None) -> IndexTable:
    """The index of a dataset folder, built if manifest, keep list or tombstones are others.

    Raises:
        UserError: no dataset, no shard or no such keep list at that path, or nothing is kept.
    """
    paths = [manifest_path(dataset), storage.join(dataset, "tombstones.parquet")]
    if name is not None:
        paths.append(storage.join(filter_folder(dataset, name), "keep.npy"))
    contents = [storage.read_bytes(path) if storage.exists(path) else b"" for path in paths]
    parts = [_sha256(content) for content in contents]
    table = cached(
        _sha256(":".join(["dataset", str(FORMAT_VERSION), *parts]).encode()),
        lambda: _build_dataset_index(dataset, name),
        folder=cache,
    )
    folder = shards_folder(dataset)
    # A dataset may be moved, or be mounted elsewhere on the next machine.
    shards = [replace(shard, path=storage.join(folder, shard.path)) for shard in table.shards]
    return replace(table, shards=shards)


def _build_dataset_index(dataset: str, name: str | None) -> IndexTable:
    """The kept rows; the shards' paths are those below the folder of shards."""
    rows = read_rows(dataset, _columns_for(dataset))
    rows = rows.filter(pc.field("status") == "success")
    uids = _packed(dataset, rows["uid"])
    times = np.ones(len(uids), np.int64)
    if name is not None:
        keep = read_keep_list(dataset, name)
        times = times_listed(uids, keep)
        _check_found(dataset, name, listed=len(keep), found=int(times.sum()))
    times[taken_down(dataset, rows)] = 0
    chosen, repetition = repeat_rows(times)
    if not len(chosen):
        raise UserError(
            f"nothing to train on: dataset {dataset!r} has {len(times)} samples and filter "
            f"{name!r} with the tombstones keeps none; make the filter again or set --filter None"
        )
    names, shard = _shards_of(rows)
    offset, length = _numbers(rows, "tar_offset")[chosen], _numbers(rows, "tar_bytes")[chosen]
    halves = halves_of(uids)[chosen]
    uid_bytes = pa.py_buffer(halves.astype(">u8").tobytes())
    uid = pa.Array.from_buffers(pa.binary(UID_BYTES), len(chosen), [None, uid_bytes])
    columns = [pa.array(column) for column in (shard[chosen], repetition, offset, length)]
    return IndexTable(
        shards=_shard_files(dataset, names),
        columns=pa.RecordBatch.from_arrays([*columns, uid], list(COLUMNS)),
        digest=_digest(dataset, halves),
    )


def _packed(dataset: str, column: pa.ChunkedArray) -> np.ndarray:
    """Hex uids as an array of the keep list's type."""
    try:
        packed = packed_uids(column)
    except MalformedUidError as error:
        raise UserError(
            f"the row tables of {dataset!r} hold a uid that is not {HEX_DIGITS} hex digits: "
            f"{error}; build the dataset again"
        ) from error
    return packed.view(">u8").astype("u8").view(UID_DTYPE)


def _check_found(dataset: str, name: str, *, listed: int, found: int) -> None:
    """A keep list of another dataset keeps nothing, or next to nothing.

    Raises:
        UserError: none of its entries is in the dataset.
    """
    if listed and not found:
        raise UserError(
            f"nothing to train on: none of the {listed} uids in filter {name!r} is in dataset "
            f"{dataset!r}; it is the keep list of another dataset, make it again for this one"
        )
    if listed >= LARGE_KEEP_LIST and found < LEAST_FOUND * listed:
        logger.warning(
            "few uids of the keep list are in the dataset, is it another's? "
            "filter=%s dataset=%s found=%d listed=%d",
            *(name, dataset, found, listed),
        )


def _columns_for(dataset: str) -> list[str]:
    """Tombstones ask for URLs and hashes; without any these would only fill the memory."""
    has_tombstones = storage.exists(storage.join(dataset, "tombstones.parquet"))
    return list(dict.fromkeys([*ROW_COLUMNS, *(TAKEDOWN_COLUMNS if has_tombstones else ())]))


def repeat_rows(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers and repetition numbers: every row with times > k stands in repetition k."""
    most = int(times.max(initial=0))
    passes = [np.flatnonzero(times > k) for k in range(most)]
    if not passes:
        return np.empty(0, np.int64), np.empty(0, np.int32)
    repetition = np.repeat(np.arange(most, dtype=np.int32), [len(rows) for rows in passes])
    return np.concatenate(passes), repetition


def _shards_of(rows: pa.Table) -> tuple[list[str], np.ndarray]:
    """The shards' names, and the number of each row's shard among them."""
    encoded = rows["shard"].combine_chunks()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int32)


def _shard_files(dataset: str, names: list[str]) -> list[ShardFile]:
    """The manifest says how many bytes a finished shard has; it is never written again."""
    sizes = {shard["name"]: shard.get("bytes") for shard in read_manifest(dataset)["shards"]}
    return [ShardFile(path=f"{name}.tar", size=sizes[name], mark="") for name in names]


def _numbers(rows: pa.Table, column: str) -> np.ndarray:
    if rows[column].null_count:
        raise UserError(f"the row tables lack {column} of some samples; build the dataset again")
    return rows[column].to_numpy().astype(np.int64)


def _digest(dataset: str, uid_halves: np.ndarray) -> str:
    """SHA-256 over the kept uids in order and the hashes of all shards."""
    content = hashlib.sha256(np.ascontiguousarray(uid_halves).tobytes())
    for shard in read_manifest(dataset)["shards"]:
        content.update(f"{shard['name']}:{shard['sha256']}\n".encode())
    return content.hexdigest()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
