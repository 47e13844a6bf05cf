from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diagonal_data import tar
from diagonal_infra.errors import UserError
from diagonal_train.index import SampleIndex, count_in, halves_of, open_index


def all_uids(index: SampleIndex) -> list[str]:
    return [index.uid(number) for number in range(len(index))]


def test_without_a_filter_every_success_row_is_kept_in_order(
    dataset: Path, uids: list[str]
) -> None:
    assert all_uids(open_index(str(dataset), None)) == uids


def test_a_kept_sample_lies_where_the_index_says(dataset: Path) -> None:
    index = open_index(str(dataset), None)
    path = Path(index.shard_paths[index.shard[50]])
    start, length = index.offset[50], index.length[50]
    sample = tar.parse_sample(path.read_bytes()[start : start + length])
    assert index.uid(50) in sample.members["json"].decode()


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


def test_the_digest_names_the_kept_samples(own_dataset: Path, dataset: Path) -> None:
    digest = open_index(str(dataset), "most").digest
    assert open_index(str(own_dataset), "most").digest == digest
    assert open_index(str(own_dataset), None).digest != digest


def test_counts_agree_with_a_plain_count_where_upper_halves_collide() -> None:
    rng = np.random.default_rng(0)
    listed = rng.integers(0, 4, (300, 2)).astype(np.uint64)
    listed = listed[np.lexsort((listed[:, 1], listed[:, 0]))]
    rows = rng.integers(0, 6, (200, 2)).astype(np.uint64)
    counts = Counter(map(tuple, listed.tolist()))
    expected = [counts[(upper, lower)] for upper, lower in rows.tolist()]
    assert count_in(listed, rows).tolist() == expected


def test_uids_survive_the_way_through_numbers() -> None:
    uid = "00ffee0000000001ffffffffffffffff"
    assert halves_of([uid]).tolist() == [[0x00FFEE0000000001, 0xFFFFFFFFFFFFFFFF]]


def test_a_missing_dataset_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no dataset at .*make shards"):
        open_index(str(tmp_path / "none"), None)


def test_a_missing_filter_is_named(dataset: Path) -> None:
    with pytest.raises(UserError, match=r"filters/strict/keep.npy.*make filters"):
        open_index(str(dataset), "strict")


def test_a_filter_that_keeps_nothing_is_refused(
    own_dataset: Path, keep: Callable[[str, list[str]], None]
) -> None:
    keep("nothing", ["0" * 32])
    with pytest.raises(UserError, match="nothing to train on"):
        open_index(str(own_dataset), "nothing")
