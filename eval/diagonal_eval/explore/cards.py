"""Rows as the pages show them. Whatever is shown is asked of the tombstones at that moment.

places ─► rows of their shards (a few shards' tables are kept) ─► without taken-down ─► cards
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from diagonal_data.parquet import read_parquet
from diagonal_data.rows import read_range, taken_down
from diagonal_data.score_sets import ScoreSet, score_sets
from diagonal_data.tombstones import TAKEDOWN_COLUMNS
from diagonal_eval.explore.row_index import RowIndex
from diagonal_eval.explore.snapshot import NotThereError, Snapshot
from diagonal_infra import storage
from diagonal_infra.errors import StorageError
from diagonal_train.streaming.reader import BadSampleError, image_and_members

SHOWN = ("uid", "url", "caption", "status", "reason", "detail", "width", "height")
"""Columns of a card."""
COLUMNS = tuple(dict.fromkeys([*SHOWN, "tar_offset", "tar_bytes", *TAKEDOWN_COLUMNS]))
CACHED_SHARDS = 32
SUCCESS = "success"
Card = dict[str, Any]


class Rows:
    """Reads rows of a snapshot by place."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.table = lru_cache(CACHED_SHARDS)(self._table)

    def _table(self, shard: str) -> pa.Table:
        return self.snapshot.latest_rows(shard, COLUMNS)

    def cards(
        self, places: Iterable[int], values: Mapping[str, Sequence[float]] | None = None
    ) -> list[Card]:
        """A card per place, in order, but for what is taken down.

        Args:
            places: of rows.
            values: numbers to show, by name, as many as there are places.
        """
        wanted = [int(place) for place in places]
        shown = self._rows(wanted)
        cards = []
        for number, place in enumerate(wanted):
            if place in shown:
                row = shown[place]
                named = {name: plain(of[number]) for name, of in (values or {}).items()}
                card = {name: row[name] for name in SHOWN}
                cards.append(card | {"shard": row["shard"], "at": place, "values": named})
        return cards

    def row(self, place: int, uid: str) -> dict[str, Any] | None:
        """The row at a place, if it is that of the uid and not taken down."""
        row = self._rows([place]).get(place)
        return row if row is not None and row["uid"] == uid else None

    def _rows(self, places: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Rows by place; taken-down ones and those that are not there are left out."""
        by_shard: dict[str, dict[int, int]] = {}
        for place in places:
            shard, number = self.snapshot.locate(place)
            by_shard.setdefault(shard, {})[number] = place
        found = {}
        for shard, numbers in by_shard.items():
            table = self.table(shard)
            there = [number for number in numbers if number < table.num_rows]
            rows = table.take(pa.array(there, pa.int64()))
            gone = taken_down(self.snapshot.dataset, rows)
            for number, row, is_gone in zip(there, rows.to_pylist(), gone, strict=True):
                if not is_gone:
                    found[numbers[number]] = row | {"shard": shard}
        return found


def find_row(rows: Rows, index: RowIndex | None, uid: str, at: int | None) -> dict[str, Any]:
    """The row of a uid, with `shard` and `at`.

    Args:
        rows: of the snapshot.
        index: looked up where `at` does not lead to the row.
        uid: 32 hex digits.
        at: the place where the asker saw it.

    Raises:
        NotThereError: there is none, or it is taken down.
    """
    places = [] if at is None else [at]
    places += [] if index is None else index.candidates_for(uid).tolist()
    for place in places:
        if place < rows.snapshot.total:
            row = rows.row(place, uid)
            if row is not None:
                return row | {"at": place}
    raise NotThereError(f"no sample {uid} in {rows.snapshot.dataset!r}, or it is taken down")


def picture(dataset: str, row: Mapping[str, Any]) -> bytes:
    """The stored bytes of a row's picture.

    Raises:
        NotThereError: the row has none.
        StorageError: the tar has no sample at the row's place.
    """
    if row["status"] != SUCCESS:
        raise NotThereError(f"{row['uid']} became no sample ({row['reason']}), it has no picture")
    if row["tar_offset"] is None:
        raise NotThereError(
            f"the row table of shard {row['shard']} does not say where pictures are"
        )
    content = read_range(dataset, row["shard"], row["tar_offset"], row["tar_bytes"])
    try:
        return image_and_members(content)[0]
    except BadSampleError as error:
        raise StorageError(
            f"{row['shard']}.tar is damaged at byte {row['tar_offset']}, uid={row['uid']}: {error}"
        ) from error


def all_columns(snapshot: Snapshot, row: Mapping[str, Any]) -> dict[str, Any]:
    """Every column of a row: `row` of the row table, `scores` by set, `problems` with others."""
    shard, number = snapshot.locate(row["at"])
    path = storage.join(snapshot.dataset, "shards", f"{shard}.parquet")
    table = read_parquet(path)
    latest = snapshot.latest(shard, table["uid"])
    raw = number if latest is None else int(np.flatnonzero(latest)[number])
    stored = np.asarray(pc.call_function("equal", [table["status"], pa.scalar(SUCCESS)]))
    scores: dict[str, Any] = {}
    problems = []
    if row["status"] == SUCCESS:
        for each in score_sets(snapshot.dataset):
            try:
                scores[each.label] = _score_row(each, shard, int(stored[:raw].sum()), row["uid"])
            except (pa.ArrowException, OSError, LookupError) as error:
                problems.append(f"scores {each.label} of shard {shard}: {error}")
    values = table.slice(raw, 1).to_pylist()[0]
    return {
        "row": {name: plain(value) for name, value in values.items()},
        "scores": scores,
        "problems": problems,
    }


def _score_row(scores: ScoreSet, shard: str, number: int, uid: str) -> dict[str, Any]:
    """One row of a score table.

    Raises:
        LookupError: the table is not there, or of other samples.
    """
    if not storage.exists(scores.path(shard)):
        raise LookupError("not computed yet")
    table = read_parquet(scores.path(shard))
    if number >= table.num_rows or table["uid"][number].as_py() != uid:
        raise LookupError("made of other samples; delete them and make them again")
    found = table.slice(number, 1).drop_columns(["uid"]).to_pylist()[0]
    return {name: plain(value) for name, value in found.items()}


def plain(value: Any) -> Any:
    """A value that JSON can hold: NaN and infinities as None, bytes as hex digits."""
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value
