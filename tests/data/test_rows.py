from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diagonal_data.manifest import Manifest, ShardInfo, shard_passes
from diagonal_data.rows import host_of, read_rows, stream_rows
from diagonal_infra.errors import UserError

Row = tuple[int, str]


def write_shards(dataset: Path, shards: dict[str, tuple[int, list[Row]]]) -> None:
    """Row tables of uid and reason, by shard name and retry pass, and their manifest."""
    (dataset / "shards").mkdir(parents=True)
    manifest = Manifest(dataset=str(dataset), settings={})
    for name, (retry_pass, rows) in shards.items():
        table = pa.table(
            {"uid": [f"{n:032x}" for n, _ in rows], "reason": [reason for _, reason in rows]}
        )
        pq.write_table(table, dataset / "shards" / f"{name}.parquet")
        manifest.add(
            ShardInfo(
                name=name,
                candidates=len(rows),
                samples=len(rows),
                bytes=0,
                sha256="",
                retry_pass=retry_pass,
            )
        )
    manifest.write()


def test_rows_come_in_shard_order_with_their_shard(tmp_path: Path) -> None:
    write_shards(tmp_path, {"0": (0, [(1, "a"), (2, "b")]), "1": (0, [(3, "c")])})
    rows = read_rows(str(tmp_path), ["reason"])
    assert rows.to_pylist() == [
        {"reason": "a", "shard": "0"},
        {"reason": "b", "shard": "0"},
        {"reason": "c", "shard": "1"},
    ]


def test_of_several_passes_the_last_counts_whatever_the_shards_are_called(tmp_path: Path) -> None:
    write_shards(
        tmp_path,
        {
            "0": (0, [(1, "first"), (2, "first"), (3, "first")]),
            "1": (2, [(2, "third")]),
            "2": (1, [(2, "second"), (3, "second")]),
            "3": (0, [(4, "first")]),
        },
    )
    tables = stream_rows(str(tmp_path), ["reason"], shard_passes(str(tmp_path)))
    read = {name: table["reason"].to_pylist() for name, table in tables}
    assert read == {"0": ["first"], "1": ["third"], "2": ["second"], "3": ["first"]}
    rows = read_rows(str(tmp_path), ["reason", "uid"])
    assert rows.column_names == ["reason", "uid", "shard"]
    assert rows.num_rows == 4


def test_a_manifest_from_before_retries_is_read(tmp_path: Path) -> None:
    write_shards(tmp_path, {"0": (0, [(1, "a")])})
    (tmp_path / "manifest.json").write_text('{"shards": [{"name": "0"}]}')
    assert read_rows(str(tmp_path), ["reason"])["reason"].to_pylist() == ["a"]


def test_a_dataset_without_shards_is_the_users_mistake(tmp_path: Path) -> None:
    Manifest(dataset=str(tmp_path), settings={}).write()
    with pytest.raises(UserError, match="no shards found"):
        read_rows(str(tmp_path), ["uid"])


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://A.example:80/x", "a.example"),
        ("http://[::1]/", "::1"),
        ("cat.jpg", ""),
        ("http://[oops", ""),
        ("", ""),
    ],
)
def test_the_host_of_a_url(url: str, host: str) -> None:
    assert host_of(url) == host
