import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diagonal_data.manifest import Manifest
from diagonal_data.schema import candidate_for, candidates_table
from diagonal_data.uid_set import UidSet, packed_uids
from diagonal_data.units import (
    PLANNED,
    check_candidates,
    first_urls,
    plan_units,
    read_unit,
    units_of_plan,
    write_units,
)
from diagonal_infra import storage
from diagonal_infra.errors import UserError


def candidates(first: int, last: int) -> pa.Table:
    return candidates_table(
        [candidate_for(f"http://a/{i}", f"cat {i}") for i in range(first, last)]
    )


def plan(table: pa.Table, known: UidSet, size: int) -> list[list[str]]:
    batches = table.to_batches(max_chunksize=3)
    return [unit["caption"].to_pylist() for unit in plan_units(batches, known, size)]


def test_units_hold_the_candidates_in_order() -> None:
    assert plan(candidates(0, 7), UidSet(), 3) == [
        ["cat 0", "cat 1", "cat 2"],
        ["cat 3", "cat 4", "cat 5"],
        ["cat 6"],
    ]


def test_a_uid_is_planned_once() -> None:
    twice = pa.concat_tables([candidates(0, 4), candidates(2, 6)])
    assert [c for unit in plan(twice, UidSet(), 2) for c in unit] == [f"cat {i}" for i in range(6)]


def test_known_uids_are_left_out() -> None:
    known = UidSet()
    known.add(packed_uids(candidates(0, 3)["uid"]))
    assert plan(candidates(0, 5), known, 10) == [["cat 3", "cat 4"]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "c").mkdir()
    pq.write_table(candidates(0, 5), tmp_path / "c" / "part-00000.parquet")
    return tmp_path


def planned(folder: Path) -> list[list[str]]:
    manifest = Manifest(dataset=str(folder / "d"), settings={})
    units = write_units(manifest, check_candidates(str(folder / "c")), 2)
    return [read_unit(unit)["caption"].to_pylist() for unit in units]


def test_planning_again_changes_nothing(folder: Path) -> None:
    assert planned(folder) == planned(folder) == [["cat 0", "cat 1"], ["cat 2", "cat 3"], ["cat 4"]]


def test_a_plan_that_was_cut_short_is_finished_the_same(folder: Path) -> None:
    whole = planned(folder)
    (folder / "d/units/00000001.parquet").unlink()
    (folder / "d/units/00000002.parquet").unlink()
    assert planned(folder) == whole


def test_grown_and_reordered_input_only_adds_units(folder: Path) -> None:
    before = planned(folder)
    reordered = candidates(0, 8).take([7, 3, 1, 6, 0, 2, 5, 4])
    pq.write_table(reordered, folder / "c" / "part-00000.parquet")
    assert planned(folder) == [*before, ["cat 7", "cat 6"], ["cat 5"]]


def test_foreign_columns_are_passed_over_and_absent_ones_are_null(folder: Path) -> None:
    table = candidates(0, 2).select(["uid", "url", "caption"])
    table = table.append_column("similarity", pa.array([0.3, 0.4]))
    pq.write_table(table, folder / "c" / "part-00000.parquet")
    manifest = Manifest(dataset=str(folder / "d"), settings={})
    unit = read_unit(write_units(manifest, check_candidates(str(folder / "c")), 9)[0])
    assert "similarity" not in unit.column_names
    assert unit["page_url"].null_count == 2


def test_missing_empty_and_foreign_candidates_are_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file matches"):
        check_candidates(str(tmp_path / "absent"))
    pq.write_table(candidates(0, 0), tmp_path / "empty.parquet")
    with pytest.raises(UserError, match="are empty"):
        check_candidates(str(tmp_path / "empty.parquet"))
    pq.write_table(pa.table({"URL": ["http://a"]}), tmp_path / "laion.parquet")
    with pytest.raises(UserError, match="lacks the columns uid, url, caption"):
        check_candidates(str(tmp_path / "laion.parquet"))
    numbers = candidates(0, 2).set_column(0, "uid", pa.array([1, 2]))
    pq.write_table(numbers, tmp_path / "numbers.parquet")
    with pytest.raises(UserError, match=r"column uid of .* is int64, not string"):
        check_candidates(str(tmp_path / "numbers.parquet"))
    holes = {"uid": ["a", None], "url": ["http://a", "http://b"], "caption": ["cat", "dog"]}
    pq.write_table(pa.table(holes), tmp_path / "holes.parquet")
    with pytest.raises(UserError, match=r"column uid of .* has null values"):
        check_candidates(str(tmp_path / "holes.parquet"))
    (tmp_path / "text.parquet").write_text("not parquet")
    with pytest.raises(UserError, match="is no Parquet file"):
        check_candidates(str(tmp_path / "text.parquet"))
    (tmp_path / "list.csv").write_text("url,caption\n")
    with pytest.raises(UserError, match="no Parquet files"):
        check_candidates(str(tmp_path / "list.csv"))


def test_a_null_url_or_caption_is_planned_as_an_empty_one(folder: Path) -> None:
    uids = candidates(0, 2)["uid"].to_pylist()
    holes = {"uid": uids, "url": ["http://a", None], "caption": [None, "dog"]}
    pq.write_table(pa.table(holes), folder / "c" / "part-00000.parquet")
    assert planned(folder) == [["", "dog"]]
    unit = pq.read_table(folder / "d" / "units" / "00000000.parquet")
    assert unit["url"].to_pylist() == ["http://a", ""]


@pytest.mark.parametrize("uid", ["cat", "x" * 32, "a" * 31 + "é"])
def test_a_uid_that_is_no_hash_is_the_users_mistake_and_the_file_is_named(
    folder: Path, uid: str
) -> None:
    bad = candidates(0, 2).set_column(0, "uid", pa.array([candidates(0, 1)["uid"][0].as_py(), uid]))
    pq.write_table(bad, folder / "c" / "part-00001.parquet")
    with pytest.raises(UserError, match=rf"part-00001\.parquet' has the uid '{uid}'"):
        planned(folder)


def test_a_column_that_does_not_fit_is_the_users_mistake(folder: Path) -> None:
    widths = candidates(0, 2).set_column(7, "width_hint", pa.array(["wide", "narrow"]))
    pq.write_table(widths, folder / "c" / "part-00001.parquet")
    with pytest.raises(UserError, match=r"part-00001\.parquet' cannot be read as candidates"):
        planned(folder)


def test_the_first_urls_are_those_of_the_first_row_group_with_rows(tmp_path: Path) -> None:
    pq.write_table(candidates(0, 0), tmp_path / "0.parquet")
    pq.write_table(candidates(0, 5), tmp_path / "1.parquet", row_group_size=2)
    paths = [str(tmp_path / f"{i}.parquet") for i in range(2)]
    assert list(first_urls(paths)) == ["http://a/0", "http://a/1"]


def shared_plan(folder: Path) -> list[list[str]]:
    """What a command that builds a part plans."""
    manifest = Manifest(dataset=str(folder / "d"), settings={})
    units = units_of_plan(manifest, check_candidates(str(folder / "c")), 2)
    return [read_unit(unit)["caption"].to_pylist() for unit in units]


def test_what_was_planned_is_not_read_again(folder: Path) -> None:
    first, path = shared_plan(folder), folder / "c" / "part-00000.parquet"
    assert first == [["cat 0", "cat 1"], ["cat 2", "cat 3"], ["cat 4"]]
    # Other candidates, said to be those that were planned.
    pq.write_table(candidates(0, 9), path)
    record = folder / "d" / PLANNED
    said = json.loads(record.read_text())
    said["files"] = [[str(path), path.stat().st_size, storage.modified(str(path))]]
    record.write_text(json.dumps(said, indent=2) + "\n")
    assert shared_plan(folder) == first
    os.utime(path, (1, 1))
    assert shared_plan(folder) == [*first, ["cat 5", "cat 6"], ["cat 7", "cat 8"]]


def test_a_planned_shard_that_was_deleted_is_planned_again(folder: Path) -> None:
    first = shared_plan(folder)
    (folder / "d" / "units" / "00000001.parquet").unlink()
    assert sorted(shared_plan(folder)) == sorted(first)
