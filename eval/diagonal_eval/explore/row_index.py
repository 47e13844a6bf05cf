"""Where every uid is, and which rows are samples: about 20 bytes per row, read once.

    codes     by place: 0 for a sample, else the number of the reason why it is none
    targets   per shard: the place of each stored row, in the order of score tables and embeddings
    digests   per shard: of the uids of the stored rows, which score tables carry too
    lookup    64 bits mixed of each uid, sorted, with the places beside them

Two of ten million uids share their 64 bits with a chance of one in a hundred thousand; the row that
is found is compared with the uid all the same.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from diagonal_data.filters.keep_list import halves_of
from diagonal_data.filters.scan import TAKEN_DOWN, ahead
from diagonal_data.rows import read_shard_rows, taken_down
from diagonal_data.score_sets import uids_digest
from diagonal_data.tombstones import TAKEDOWN_COLUMNS, tombstones_path
from diagonal_data.uid_set import packed_uids
from diagonal_eval.explore.snapshot import Snapshot
from diagonal_infra import storage
from diagonal_infra.errors import UserError

ABSENT = np.uint32(0xFFFFFFFF)
"""Target of a stored row that is no sample any more."""
NO_ROW = -1
MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, kw_only=True)
class RowIndex:
    """All rows of a snapshot; `reasons[0]` is empty and stands for samples."""

    reasons: tuple[str, ...]
    codes: NDArray[np.int16]
    targets: dict[str, NDArray[np.uint32]]
    digests: dict[str, bytes]
    keys: NDArray[np.uint64]
    places: NDArray[np.uint32]

    def counts(self) -> dict[str, int]:
        """Rows by reason, most first; samples are not among them."""
        found = np.bincount(self.codes[self.codes > 0], minlength=len(self.reasons))
        named = Counter(dict(zip(self.reasons, map(int, found), strict=True)))
        return {name: count for name, count in named.most_common() if count}

    @property
    def samples(self) -> int:
        """Rows that are samples."""
        return int((self.codes == 0).sum())

    def with_reason(self, reason: str) -> NDArray[np.int64]:
        """Places of the rows of a reason, in order; none for an unknown one."""
        if reason not in self.reasons:
            return np.empty(0, np.int64)
        return np.flatnonzero(self.codes == self.reasons.index(reason))

    def places_of(self, packed: np.ndarray) -> NDArray[np.uint32]:
        """Places of the uids of a keep list that are there, in no order, repeats repeated."""
        # Sorted, the look-ups walk through the keys instead of leaping.
        wanted = np.sort(_mixed(halves_of(packed)))
        at = np.minimum(self.keys.searchsorted(wanted), max(len(self.keys) - 1, 0))
        return self.places[at[self.keys[at] == wanted]] if len(self.keys) else self.places

    def candidates_for(self, uid: str) -> NDArray[np.uint32]:
        """Places where a uid may be: one, none, or hardly ever several."""
        key = _mixed(np.array([[int(uid[:16], 16), int(uid[16:], 16)]], np.uint64))[0]
        first, after = self.keys.searchsorted(key, "left"), self.keys.searchsorted(key, "right")
        return self.places[first:after]


@dataclass(frozen=True, kw_only=True)
class _Shard:
    name: str
    reasons: pa.DictionaryArray
    targets: NDArray[np.uint32]
    digest: bytes
    keys: NDArray[np.uint64]


def build_index(snapshot: Snapshot) -> RowIndex:
    """Read status and uid of every row.

    Raises:
        UserError: a row table has more rows than the manifest says.
    """
    has_tombstones = storage.exists(tombstones_path(snapshot.dataset))
    columns = TAKEDOWN_COLUMNS if has_tombstones else ("uid",)
    codes = np.full(snapshot.total, NO_ROW, np.int16)
    keys = np.empty(snapshot.total, np.uint64)
    known = {"": 0}
    targets, digests = {}, {}
    for shard in _read_all(snapshot, [*columns, "status", "reason"]):
        start, count = snapshot.starts[shard.name], len(shard.keys)
        names = shard.reasons.dictionary.to_pylist()
        numbers = np.array([known.setdefault(name, len(known)) for name in names], np.int16)
        codes[start : start + count] = numbers[shard.reasons.indices.to_numpy()]
        keys[start : start + count] = shard.keys
        targets[shard.name], digests[shard.name] = shard.targets, shard.digest
    there = np.flatnonzero(codes != NO_ROW).astype(np.uint32)
    order = np.argsort(keys[there])
    return RowIndex(
        reasons=tuple(known),
        codes=codes,
        targets=targets,
        digests=digests,
        keys=keys[there][order],
        places=there[order],
    )


def _read_all(snapshot: Snapshot, columns: list[str]) -> Iterator[_Shard]:
    def read(name: str) -> _Shard:
        rows = read_shard_rows(snapshot.dataset, name, columns)
        stored = np.asarray(pc.call_function("equal", [rows["status"], pa.scalar("success")]))
        digest = uids_digest(rows["uid"].filter(pa.array(stored)))
        latest = snapshot.latest(name, rows["uid"])
        latest = np.ones(rows.num_rows, bool) if latest is None else latest
        gone = np.zeros(rows.num_rows, bool)
        if len(columns) > 3:
            gone = taken_down(snapshot.dataset, rows)
        _check_count(snapshot, name, int(latest.sum()))
        number = np.cumsum(latest) - 1 + snapshot.starts[name]
        targets = np.where(latest & ~gone, number, ABSENT).astype(np.uint32)[stored]
        reasons = _reasons(rows["reason"], stored, gone).filter(pa.array(latest))
        return _Shard(
            name=name,
            reasons=reasons.combine_chunks().dictionary_encode(),
            targets=targets,
            digest=digest,
            keys=_mixed(_halves(packed_uids(rows["uid"])[latest])),
        )

    return ahead(read, snapshot.names)


def _check_count(snapshot: Snapshot, name: str, count: int) -> None:
    place = snapshot.names.index(name)
    if count > snapshot.shards[place]["candidates"]:
        raise UserError(
            f"shard {name} has {count} rows, the manifest says "
            f"{snapshot.shards[place]['candidates']}; build the manifest anew with 'make shards'"
        )


def _reasons(reasons: pa.ChunkedArray, stored: np.ndarray, gone: np.ndarray) -> pa.ChunkedArray:
    """Empty for samples; taken down comes first."""
    named = reasons.fill_null("failed")
    named = pc.call_function("if_else", [pa.array(stored), pa.scalar(""), named])
    return pc.call_function("if_else", [pa.array(gone), pa.scalar(TAKEN_DOWN), named])


def _halves(packed: np.ndarray) -> NDArray[np.uint64]:
    """Packed uids as N×2 uint64, upper half first."""
    return packed.view(">u8").astype(np.uint64).reshape(-1, 2)


def _mixed(halves: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """64 bits of each; the lower half is spread first, as it may be a plain number."""
    lower = halves[:, 1] * MIX
    return halves[:, 0] ^ lower ^ (lower >> np.uint64(29))
