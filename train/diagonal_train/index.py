"""Which samples a run may see, and where their bytes lie.

    manifest.json ─► row tables ─► minus tombstones ─► times the keep list ─► SampleIndex

The kept samples stand in the order (repetition, shard, offset): a uid that a keep list names k
times stands once in each of the first k repetitions, so that its copies are far apart.
"""

import hashlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from diagonal_data import manifest
from diagonal_infra import storage
from diagonal_infra.errors import UserError

COLUMNS = ["uid", "status", "tar_offset", "tar_bytes"]
KEEP_DTYPE = np.dtype("u8,u8")


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
    names = manifest.shard_names(dataset)
    keep = None if filter is None else read_keep_list(dataset, filter)
    removed = read_tombstones(dataset)
    parts = [_read_shard(dataset, name, number) for number, name in enumerate(names)]
    columns = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    times = np.ones(len(columns["shard"]), np.int64)
    if keep is not None:
        times = count_in(keep, columns["uid_halves"])
    if removed is not None:
        times[count_in(removed, columns["uid_halves"]) > 0] = 0
    rows, repetition = repeat_rows(times)
    if not len(rows):
        raise UserError(
            f"nothing to train on: dataset {dataset!r} has {len(times)} samples and filter "
            f"{filter!r} with the tombstones keeps none; make the filter again or set --filter None"
        )
    kept = {key: column[rows] for key, column in columns.items()}
    return SampleIndex(
        shard_paths=[storage.join(dataset, "shards", f"{name}.tar") for name in names],
        repetition=repetition,
        digest=_digest(dataset, kept["uid_halves"]),
        **kept,
    )


def read_keep_list(dataset: str, name: str) -> np.ndarray:
    """The keep list's uids, N×2 uint64, sorted, repetitions kept.

    Raises:
        UserError: there is no such filter, or its file is no keep list.
    """
    path = storage.join(dataset, "filters", name, "keep.npy")
    if not storage.exists(path):
        raise UserError(f"no keep list at {path!r}; run 'make filters' or set --filter None")
    keep = np.load(io.BytesIO(storage.read_bytes(path)), allow_pickle=False)
    if keep.dtype != KEEP_DTYPE or keep.ndim != 1:
        raise UserError(f"{path!r} holds {keep.dtype}{keep.shape}, a keep list has dtype 'u8,u8'")
    return _sorted(keep.view(np.uint64).reshape(-1, 2))


def read_tombstones(dataset: str) -> np.ndarray | None:
    """Taken-down uids as N×2 uint64, or None if the dataset has no tombstones."""
    path = storage.join(dataset, "tombstones.parquet")
    if not storage.exists(path):
        return None
    table = pq.read_table(io.BytesIO(storage.read_bytes(path)), columns=["uid"])
    return _sorted(halves_of([uid for uid in table["uid"].to_pylist() if uid]))


def count_in(uids: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """How often each row's uid stands in `uids` (N×2, sorted by both halves)."""
    first = np.searchsorted(uids[:, 0], rows[:, 0], "left")
    after = np.searchsorted(uids[:, 0], rows[:, 0], "right")
    times = after - first
    found = np.flatnonzero(times)
    # The upper half is the same in uids[first:after]; the lower decides, and is sorted there.
    same = (uids[first[found], 1] == rows[found, 1]) & (uids[after[found] - 1, 1] == rows[found, 1])
    for row in found[~same]:
        lower = uids[first[row] : after[row], 1]
        times[row] = np.count_nonzero(lower == rows[row, 1])
    return times


def repeat_rows(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers and repetition numbers: every row with times > k stands in repetition k."""
    most = int(times.max(initial=0))
    passes = [np.flatnonzero(times > k) for k in range(most)]
    if not passes:
        return np.empty(0, np.int64), np.empty(0, np.int32)
    repetition = np.repeat(np.arange(most, dtype=np.int32), [len(rows) for rows in passes])
    return np.concatenate(passes), repetition


def halves_of(uids: list[str]) -> np.ndarray:
    """Hex uids as N×2 uint64, upper half first."""
    content = bytes.fromhex("".join(uids))
    return np.frombuffer(content, ">u8").astype(np.uint64).reshape(-1, 2)


def _read_shard(dataset: str, name: str, number: int) -> dict[str, np.ndarray]:
    path = storage.join(dataset, "shards", f"{name}.parquet")
    table = pq.read_table(io.BytesIO(storage.read_bytes(path)), columns=COLUMNS)
    table = table.filter(pc.field("status") == "success").sort_by("tar_offset")
    if table["tar_offset"].null_count or table["tar_bytes"].null_count:
        raise UserError(f"{path!r} lacks tar_offset or tar_bytes of some samples; build it again")
    return {
        "shard": np.full(table.num_rows, number, np.int32),
        "offset": _numbers(table["tar_offset"]),
        "length": _numbers(table["tar_bytes"]),
        "uid_halves": halves_of(table["uid"].to_pylist()),
    }


def _numbers(column: Any) -> np.ndarray:
    return column.to_numpy().astype(np.int64)


def _sorted(uids: np.ndarray) -> np.ndarray:
    return uids[np.lexsort((uids[:, 1], uids[:, 0]))]


def _digest(dataset: str, uid_halves: np.ndarray) -> str:
    """SHA-256 over the kept uids in order and the hashes of all shards."""
    content = hashlib.sha256(np.ascontiguousarray(uid_halves).tobytes())
    for shard in manifest.read_manifest(dataset)["shards"]:
        content.update(f"{shard['name']}:{shard['sha256']}\n".encode())
    return content.hexdigest()
