"""Two filters against each other."""

from pathlib import Path

import numpy as np
import pytest
from tests.data.filters.datasets import failed, row, write_dataset

from diagonal_data.filters.keep_list import write_keep_list
from diagonal_eval.explore.diff import compare, filter_names, spread
from diagonal_eval.explore.row_index import build_index
from diagonal_eval.explore.snapshot import NotThereError, read_snapshot
from diagonal_infra.errors import UserError


def test_groups_are_sets_of_samples_and_repeats_count_once(tmp_path: Path) -> None:
    rows = [row(1), row(2), failed(3), row(4), row(5)]
    folder = write_dataset(tmp_path, [rows])
    uids = [each["uid"] for each in rows]
    write_keep_list(f"{folder}/filters/a/keep.npy", [uids[0], uids[0], uids[1], uids[2]])
    write_keep_list(f"{folder}/filters/b/keep.npy", [uids[1], uids[3], "f" * 32])
    found = compare(folder, build_index(read_snapshot(folder)), "a", "b")
    groups = {name: places.tolist() for name, places in found.groups.items()}
    assert groups == {"both": [1], "only_a": [0], "only_b": [3], "neither": [4]}
    assert found.absent == {"a": 1, "b": 1}


def test_only_filters_of_the_dataset_can_be_named(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "d", [[row(1)]])
    write_keep_list(str(tmp_path / "outside" / "keep.npy"), [row(1)["uid"]])
    (tmp_path / "d" / "filters" / "empty").mkdir(parents=True)
    index = build_index(read_snapshot(folder))
    assert filter_names(folder) == []
    with pytest.raises(NotThereError, match=r"no filter '\.\./\.\./outside'"):
        compare(folder, index, "../../outside", "../../outside")
    (tmp_path / "d" / "filters" / "empty" / "keep.npy").write_bytes(b"no list")
    with pytest.raises(UserError, match=r"keep\.npy"):
        compare(folder, index, "empty", "empty")


def test_a_sheet_is_of_the_whole_group() -> None:
    assert spread(np.arange(100, 200), 3) == [100, 149, 199]
    assert spread(np.arange(2), 5) == [0, 1]
    assert spread(np.empty(0, np.int64), 5) == []
