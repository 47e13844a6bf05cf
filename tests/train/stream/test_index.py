from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diagonal_data import tar
from diagonal_infra.errors import UserError
from diagonal_train.stream.index import SampleIndex, open_index


def all_uids(index: SampleIndex) -> list[str]:
    return index.uids(np.arange(len(index)))


def test_without_a_filter_every_success_row_is_kept_in_order(
    dataset: Path, uids: list[str]
) -> None:
    assert all_uids(open_index(str(dataset), None)) == uids


def test_a_kept_sample_lies_where_the_index_says(dataset: Path) -> None:
    index = open_index(str(dataset), None)
    path = Path(index.shards[index.shard[50]].path)
    start, length = index.offset[50], index.length[50]
    sample = tar.parse_sample(path.read_bytes()[start : start + length])
    assert index.uids(np.array([50]))[0] in sample.members["json"].decode()


def test_the_keep_list_decides(dataset: Path, uids: list[str]) -> None:
    kept = all_uids(open_index(str(dataset), "most"))
    assert kept == [uid for i, uid in enumerate(uids) if i % 5]


def test_repeats_upsample_and_stand_apart(
    own_dataset: Path, keep: Callable[[str, list[str]], None], uids: list[str]
) -> None:
    keep("thrice", [uids[7]] * 3 + [uids[3]] * 2 + [uids[90]])
    index = open_index(str(own_dataset), "thrice")
    assert all_uids(index) == [uids[i] for i in (3, 7, 90, 3, 7, 7)]
    assert index.repetition.tolist() == [0, 0, 0, 1, 1, 2]


def test_tombstones_win_over_the_keep_list(own_dataset: Path, uids: list[str]) -> None:
    gone = {uids[1], uids[2], uids[60]}
    pq.write_table(pa.table({"uid": sorted(gone)}), own_dataset / "tombstones.parquet")
    kept = set(all_uids(open_index(str(own_dataset), "most")))
    assert kept == {uid for i, uid in enumerate(uids) if i % 5} - gone


def test_tombstones_name_samples_by_url_too(own_dataset: Path, uids: list[str]) -> None:
    url = "http://127.0.0.1/000000003.png"
    pq.write_table(pa.table({"url": [url]}), own_dataset / "tombstones.parquet")
    assert set(uids) - set(all_uids(open_index(str(own_dataset), None))) == {uids[3]}


def test_the_digest_names_the_kept_samples(own_dataset: Path, dataset: Path) -> None:
    digest = open_index(str(dataset), "most").digest
    assert open_index(str(own_dataset), "most").digest == digest
    assert open_index(str(own_dataset), None).digest != digest


def test_a_missing_dataset_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no dataset at .*make shards"):
        open_index(str(tmp_path / "none"), None)


def test_a_missing_filter_is_named(dataset: Path) -> None:
    with pytest.raises(UserError, match="no filter 'strict'"):
        open_index(str(dataset), "strict")


def test_a_filter_that_keeps_nothing_is_refused(
    own_dataset: Path, keep: Callable[[str, list[str]], None]
) -> None:
    keep("nothing", ["0" * 32])
    with pytest.raises(UserError, match="nothing to train on"):
        open_index(str(own_dataset), "nothing")
