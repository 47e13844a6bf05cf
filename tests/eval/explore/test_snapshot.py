"""How rows are numbered."""

from pathlib import Path

import pytest
from tests.data.filters.datasets import failed, row, write_dataset

from diagonal_eval.explore.snapshot import NotThereError, read_snapshot, stamp_of


def test_places_count_through_the_shards(tmp_path: Path) -> None:
    snapshot = read_snapshot(write_dataset(tmp_path, [[row(1), row(2)], [], [row(3)]]))
    assert [snapshot.locate(place) for place in range(3)] == [
        ("00000000", 0),
        ("00000000", 1),
        ("00000002", 0),
    ]
    for place in (-1, 3):
        with pytest.raises(NotThereError):
            snapshot.locate(place)
    with pytest.raises(NotThereError, match=r"no shard '\.\./x'"):
        snapshot.check("../x")


def test_rows_that_a_retry_replaced_are_passed_over(tmp_path: Path) -> None:
    shards = [[failed(1), row(2)], [row(1)]]
    snapshot = read_snapshot(write_dataset(tmp_path, shards, passes=[0, 1]))
    assert snapshot.latest_rows("00000000", ["uid"])["uid"].to_pylist() == [row(2)["uid"]]
    assert snapshot.latest_rows("00000001", ["uid"]).num_rows == 1


def test_the_stamp_changes_with_the_tombstones(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path, [[row(1)]])
    before = stamp_of(folder)
    assert stamp_of(folder) == before
    (tmp_path / "tombstones.parquet").write_bytes(b"x")
    assert stamp_of(folder) != before
