import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.train.streaming.tars import write_tar

from diagonal_data.filters.inputs import describe_inputs
from diagonal_data.tar import parse_sample
from diagonal_infra.errors import UserError
from diagonal_train.streaming.index import (
    SampleIndex,
    filters_for,
    open_index,
    warn_of_stale_filters,
)


@pytest.fixture
def mixed(own_dataset: Path, tmp_path: Path) -> str:
    """Foreign tars, a dataset folder, and other foreign tars."""
    write_tar(tmp_path / "a" / "0.tar", "x", "y", "z")
    write_tar(tmp_path / "b" / "0.tar", "x")
    write_tar(tmp_path / "b" / "1.tar", "☃")
    return f"{tmp_path}/a/0.tar::{own_dataset}::{tmp_path}/b/{{0..1}}.tar"


def all_uids(index: SampleIndex) -> list[str]:
    return index.uids(np.arange(len(index)))


def test_sources_stand_one_after_the_other(mixed: str, uids: list[str]) -> None:
    index = open_index(mixed, None)
    assert index.source_ends.tolist() == [3, 123, 125]
    assert index.source_ends.dtype == np.int64
    assert all_uids(index) == ["x", "y", "z", *uids, "x", "☃"]
    names = [Path(shard.path).name for shard in index.shards]
    assert names == ["0.tar", "00000000.tar", "00000001.tar", "00000002.tar", "0.tar", "1.tar"]
    assert np.bincount(index.shard).tolist() == [3, 45, 38, 37, 1, 1]


def test_the_columns_have_their_types_whatever_the_source(mixed: str) -> None:
    for data in (mixed, *mixed.split("::")):
        index = open_index(data, None)
        types = {"shard": "i4", "repetition": "i4", "offset": "i8", "length": "i8"}
        for name, dtype in types.items():
            assert getattr(index, name).dtype == np.dtype(dtype)
            assert len(getattr(index, name)) == len(index)


def test_samples_of_all_sources_lie_where_the_index_says(mixed: str, uids: list[str]) -> None:
    index = open_index(mixed, None)
    keys = []
    for number in (1, 3 + 50, 124):
        content = Path(index.shards[index.shard[number]].path).read_bytes()
        begin = index.offset[number]
        keys.append(parse_sample(content[begin : begin + index.length[number]]).key)
    assert keys == ["y", "000100005", "☃"]


def test_uids_come_in_the_order_asked_for(mixed: str, uids: list[str]) -> None:
    index = open_index(mixed, None)
    assert index.uids(np.array([124, 5, 0, 5])) == ["☃", uids[2], "x", uids[2]]
    assert index.uids(np.array([], np.int64)) == []


def test_a_single_source_is_a_view_of_the_cache_file(own_dataset: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    index = open_index(str(own_dataset), None, cache=str(cache))
    maps = Path("/proc/self/maps").read_text().splitlines()
    (path,) = cache.glob("*.arrow")
    (span,) = [line.split()[0] for line in maps if line.endswith(str(path))]
    begin, end = (int(place, 16) for place in span.split("-"))
    for column in (index.shard, index.repetition, index.offset, index.length):
        assert begin <= column.__array_interface__["data"][0] < end
        assert not column.flags.writeable


def test_one_name_filters_every_dataset_folder(mixed: str) -> None:
    assert open_index(mixed, "most").source_ends.tolist() == [3, 99, 101]


def test_each_source_has_its_own_filter(
    own_dataset: Path, keep: Callable[[str, list[str]], None], uids: list[str]
) -> None:
    keep("few", uids[:7])
    data = "::".join([str(own_dataset)] * 3)
    assert open_index(data, "most::None::few").source_ends.tolist() == [96, 216, 223]


def test_the_digest_names_the_sources_in_order(mixed: str) -> None:
    tars, dataset, other = mixed.split("::")
    assert open_index(mixed, None).digest == open_index(mixed, None).digest
    assert open_index(mixed, None).digest != open_index(f"{other}::{dataset}::{tars}", None).digest
    assert open_index(mixed, None).digest != open_index(mixed, "most").digest


def test_a_filter_needs_a_dataset_folder() -> None:
    with pytest.raises(UserError, match=r"filter 'basic' needs a dataset folder.*'a/\*\.tar'"):
        filters_for(["a/*.tar"], "basic")
    with pytest.raises(UserError, match=r"'b\.tar' names tars"):
        filters_for(["d", "b.tar"], "basic::basic")


def test_as_many_filters_as_sources_are_needed() -> None:
    with pytest.raises(UserError, match="2 filters for 3 sources"):
        filters_for(["d", "e", "f"], "basic::None")


@pytest.mark.parametrize(
    ("filter", "names"),
    [
        (None, [None, None]),
        ("None", [None, None]),
        ("basic", ["basic", None]),
        ("basic::None", ["basic", None]),
    ],
)
def test_filters_are_given_to_sources(filter: str | None, names: list[str | None]) -> None:
    assert filters_for(["d", "{a,b}.tar"], filter) == names


def test_a_missing_dataset_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no dataset at .*make shards"):
        open_index(str(tmp_path / "none"), None)


def test_a_filter_made_of_something_else_is_named(
    mixed: str, own_dataset: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record = {"inputs": describe_inputs(str(own_dataset), [], [])}
    recipe = own_dataset / "filters" / "most" / "recipe.json"
    recipe.write_text(json.dumps(record))
    warn_of_stale_filters(mixed, "most")
    assert not caplog.records
    pq.write_table(pa.table({"uid": pa.array([], pa.string())}), own_dataset / "tombstones.parquet")
    warn_of_stale_filters(mixed, "most")
    assert [each.message for each in caplog.records] == [
        "filter is stale, make it again "
        f"filter=most dataset={own_dataset} changed=tombstones.parquet"
    ]
