"""Which samples a run may see, and where their bytes lie.

    manifest.json ─► row tables ─► minus tombstones ─► times the keep list ─► SampleIndex

The kept samples stand in the order (repetition, shard, offset): a uid that a keep list names k
times stands once in each of the first k repetitions, so that its copies are far apart.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from diagonal_data.filters.keep_list import halves_of, pack_uids, read_keep_list, times_listed
from diagonal_data.manifest import read_manifest, shards_folder
from diagonal_data.rows import TAKEDOWN_COLUMNS, read_rows, taken_down
from diagonal_infra import storage
from diagonal_infra.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ShardFile:
    """A tar of samples, as it was when it was indexed."""

    path: str
    size: int | None
    mark: str


COLUMNS = ["uid", "status", "tar_offset", "tar_bytes"]


@dataclass(frozen=True, kw_only=True, eq=False)
class SampleIndex:
    """Columns of the kept samples, about 40 bytes each; `digest` names their content."""

    shard_paths: list[str]
    shard: np.ndarray
    """Number of the sample's shard in `shard_paths`, int32."""
    repetition: np.ndarray
    """0 for a sample's first place in a pass, 1 for its second, …; int32."""
    offset: np.ndarray
    """First byte of the sample's members in its tar, int64."""
    length: np.ndarray
    """Bytes of the members, int64."""
    uid_halves: np.ndarray
    """The uid as two uint64, upper half first; N×2."""
    digest: str

    def __len__(self) -> int:
        return len(self.shard)

    def uid(self, number: int) -> str:
        """The sample's uid as 32 hex digits."""
        upper, lower = self.uid_halves[number]
        return f"{int(upper):016x}{int(lower):016x}"


def open_index(dataset: str, filter: str | None) -> SampleIndex:  # noqa: A002  # the flag's name
    """Read which samples of a dataset are kept.

    Args:
        dataset: the dataset folder.
        filter: name of a keep list under DATASET/filters; None keeps every sample.

    Raises:
        UserError: no dataset, no shard or no such keep list at that path, or nothing is kept.
    """
    rows = read_rows(dataset, _columns_for(dataset))
    rows = rows.filter(pc.field("status") == "success")
    uids = pack_uids(rows["uid"].to_pylist())
    times = np.ones(len(uids), np.int64)
    if filter is not None:
        times = times_listed(uids, read_keep_list(dataset, filter))
    times[taken_down(dataset, rows)] = 0
    chosen, repetition = repeat_rows(times)
    if not len(chosen):
        raise UserError(
            f"nothing to train on: dataset {dataset!r} has {len(times)} samples and filter "
            f"{filter!r} with the tombstones keeps none; make the filter again or set --filter None"
        )
    names, shard = _shards_of(rows)
    uid_halves = halves_of(uids)[chosen]
    return SampleIndex(
        shard_paths=[storage.join(shards_folder(dataset), f"{name}.tar") for name in names],
        shard=shard[chosen],
        repetition=repetition,
        offset=_numbers(rows, "tar_offset")[chosen],
        length=_numbers(rows, "tar_bytes")[chosen],
        uid_halves=uid_halves,
        digest=_digest(dataset, uid_halves),
    )


def _columns_for(dataset: str) -> list[str]:
    """Tombstones ask for URLs and hashes; without any these would only fill the memory."""
    has_tombstones = storage.exists(storage.join(dataset, "tombstones.parquet"))
    return list(dict.fromkeys([*COLUMNS, *(TAKEDOWN_COLUMNS if has_tombstones else ())]))


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
