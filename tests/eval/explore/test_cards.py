"""Rows as the pages show them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.filters.datasets import failed, row, write_dataset

from diagonal_eval.explore.cards import Rows, picture, plain
from diagonal_eval.explore.snapshot import NotThereError, read_snapshot


def test_cards_come_in_the_order_asked_with_their_values_and_without_what_is_gone(
    tmp_path: Path,
) -> None:
    folder = write_dataset(tmp_path, [[row(1), failed(2)], [row(3), row(4)]])
    pq.write_table(pa.table({"url": [row(3)["url"]]}), tmp_path / "tombstones.parquet")
    rows = Rows(read_snapshot(folder))
    cards = rows.cards([3, 2, 0, 1], {"score": [0.5, 0.4, float("nan"), 0.2]})
    assert [(card["at"], card["shard"]) for card in cards] == [
        (3, "00000001"),
        (0, "00000000"),
        (1, "00000000"),
    ]
    assert [card["values"]["score"] for card in cards] == [0.5, None, 0.2]


def test_what_has_no_picture_says_so(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path, [[row(1), failed(2)]])
    rows = Rows(read_snapshot(folder))
    for place, uid, why in ((0, row(1)["uid"], "does not say where"), (1, row(2)["uid"], "became")):
        found = rows.row(place, uid)
        assert found is not None
        with pytest.raises(NotThereError, match=why):
            picture(folder, found)


def test_values_are_such_as_json_can_hold() -> None:
    assert plain([float("inf"), np.float32(0.5), np.int64(3), b"\x01", None]) == [
        None,
        0.5,
        3,
        "01",
        None,
    ]
