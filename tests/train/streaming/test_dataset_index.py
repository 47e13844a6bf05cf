import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diagonal_data import tar
from diagonal_infra.errors import UserError
from diagonal_train.streaming.index import SampleIndex, open_index


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


def test_the_digest_is_the_one_that_older_checkpoints_hold(dataset: Path, uids: list[str]) -> None:
    content = hashlib.sha256()
    for uid in uids:
        for half in (uid[:16], uid[16:]):
            content.update(int(half, 16).to_bytes(8, "little"))
    for shard in json.loads((dataset / "manifest.json").read_text())["shards"]:
        content.update(f"{shard['name']}:{shard['sha256']}\n".encode())
    assert open_index(str(dataset), None).digest == content.hexdigest()


def test_the_manifest_says_the_shards_sizes(dataset: Path) -> None:
    for shard in open_index(str(dataset), None).shards:
        assert shard.size == Path(shard.path).stat().st_size
        assert shard.mark == ""


def test_a_keep_list_of_another_dataset_is_refused(
    own_dataset: Path, keep: Callable[[str, list[str]], None]
) -> None:
    keep("other", [f"{i:032x}" for i in range(5)])
    with pytest.raises(UserError, match=r"none of the 5 uids in filter 'other' is in .*/d'"):
        open_index(str(own_dataset), "other")


def test_a_keep_list_mostly_of_another_dataset_is_warned_of(
    own_dataset: Path,
    keep: Callable[[str, list[str]], None],
    uids: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    keep("other", [*uids[:9], *(f"{i:032x}" for i in range(991))])
    assert len(open_index(str(own_dataset), "other")) == 9
    assert "filter=other" in caplog.text
    assert "found=9 listed=1000" in caplog.text
    caplog.clear()
    keep("enough", [*uids[:10], *(f"{i:032x}" for i in range(990))])
    assert len(open_index(str(own_dataset), "enough")) == 10
    assert not caplog.records


def test_a_cached_index_is_the_same_and_reads_no_row_table(
    own_dataset: Path, tmp_path: Path, uids: list[str]
) -> None:
    cache = str(tmp_path / "cache")
    first = open_index(str(own_dataset), "most", cache=cache)
    for path in (own_dataset / "shards").glob("*.parquet"):
        path.unlink()
    again = open_index(str(own_dataset), "most", cache=cache)
    assert all_uids(again) == all_uids(first) == [uid for i, uid in enumerate(uids) if i % 5]
    assert again.digest == first.digest
    assert again.shards == first.shards
    for name in ("shard", "repetition", "offset", "length"):
        assert np.array_equal(getattr(again, name), getattr(first, name))
        assert getattr(again, name).dtype == getattr(first, name).dtype


def test_a_moved_dataset_is_not_indexed_again(own_dataset: Path, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    open_index(str(own_dataset), None, cache=cache)
    moved = own_dataset.rename(tmp_path / "moved")
    for path in (moved / "shards").glob("*.parquet"):
        path.unlink()
    shards = open_index(str(moved), None, cache=cache).shards
    assert [shard.path for shard in shards] == [
        str(moved / "shards" / f"0000000{i}.tar") for i in range(3)
    ]


@pytest.mark.parametrize("changed", ["keep list", "tombstones", "manifest"])
def test_what_the_index_is_made_from_makes_it_anew(
    own_dataset: Path,
    keep: Callable[[str, list[str]], None],
    tmp_path: Path,
    uids: list[str],
    changed: str,
) -> None:
    cache = str(tmp_path / "cache")
    assert len(open_index(str(own_dataset), "most", cache=cache)) == 96
    if changed == "keep list":
        keep("most", uids[:40])
    elif changed == "tombstones":
        pq.write_table(pa.table({"uid": uids[40:]}), own_dataset / "tombstones.parquet")
    else:
        path = own_dataset / "manifest.json"
        manifest = json.loads(path.read_text())
        path.write_text(json.dumps({**manifest, "shards": manifest["shards"][:1]}))
    left = {"keep list": 40, "tombstones": 32, "manifest": 36}
    assert len(open_index(str(own_dataset), "most", cache=cache)) == left[changed]


def test_a_uid_that_is_none_is_named(own_dataset: Path, tmp_path: Path) -> None:
    path = own_dataset / "shards" / "00000001.parquet"
    rows = pq.read_table(path)
    uids = pa.array(["no uid", *rows["uid"].to_pylist()[1:]])
    for name, column in {"uid": uids, "status": pa.array(["success"] * len(uids))}.items():
        rows = rows.set_column(rows.column_names.index(name), rows.schema.field(name), column)
    pq.write_table(rows, path)
    with pytest.raises(UserError, match="a uid that is not 32 hex digits: 'no uid'"):
        open_index(str(own_dataset), None, cache=str(tmp_path / "cache"))
