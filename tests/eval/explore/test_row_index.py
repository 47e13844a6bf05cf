"""Where every uid is."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.filters.datasets import failed, row, write_dataset

from diagonal_data.filters.keep_list import pack_uids
from diagonal_eval.explore.row_index import ABSENT, RowIndex, build_index
from diagonal_eval.explore.snapshot import read_snapshot
from diagonal_infra.errors import UserError


def index_of(folder: str) -> RowIndex:
    return build_index(read_snapshot(folder))


def test_every_uid_is_found_where_it_is_and_no_other(tmp_path: Path) -> None:
    # Uids that are plain numbers differ in the lower half only.
    rows = [[row(n, uid=f"{n:032x}") for n in range(3)], [row(n) for n in range(3, 9)]]
    index = index_of(write_dataset(tmp_path, rows))
    flat = [each["uid"] for shard in rows for each in shard]
    for place, uid in enumerate(flat):
        assert index.candidates_for(uid).tolist() == [place]
    assert len(index.candidates_for("f" * 32)) == 0
    wanted = pack_uids([flat[7], flat[1], "f" * 32, flat[1]])
    assert sorted(index.places_of(wanted).tolist()) == [1, 1, 7]


def test_reasons_add_up_and_retries_take_the_place_of_what_failed(tmp_path: Path) -> None:
    rows = [[row(1), failed(2), failed(3, "not_found")], [row(2)]]
    index = index_of(write_dataset(tmp_path, rows, passes=[0, 1]))
    assert index.samples == 2
    assert index.counts() == {"not_found": 1}
    # The retried row is passed over: the failed one after it is the shard's second row.
    assert index.with_reason("not_found").tolist() == [1]
    assert index.candidates_for(row(2)["uid"]).tolist() == [3]
    assert index.with_reason("unheard_of").tolist() == []


def test_a_takedown_leaves_a_hole_in_what_scores_are_laid_onto(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path, [[row(1), row(2), row(3)]])
    pq.write_table(pa.table({"uid": [row(2)["uid"]]}), tmp_path / "tombstones.parquet")
    index = index_of(folder)
    assert index.targets["00000000"].tolist() == [0, ABSENT, 2]
    assert index.counts() == {"taken_down": 1}


def test_an_empty_dataset_has_no_places(tmp_path: Path) -> None:
    index = index_of(write_dataset(tmp_path, [[]]))
    assert index.samples == 0
    assert len(index.places_of(pack_uids([row(1)["uid"]]))) == 0
    assert index.codes.dtype == np.int16


def test_a_row_table_that_outgrew_the_manifest_is_refused(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path, [[row(1)], [row(2)]])
    shards = tmp_path / "shards"
    (shards / "00000000.parquet").write_bytes(write_other(tmp_path / "other").read_bytes())
    with pytest.raises(UserError, match="00000000 has 2 rows, the manifest says 1"):
        index_of(folder)


def write_other(folder: Path) -> Path:
    write_dataset(folder, [[row(1), row(3)]])
    return folder / "shards" / "00000000.parquet"
