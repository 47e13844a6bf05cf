"""What was taken down is not fetched again, whatever of the dataset is built anew."""

import hashlib
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from diagonal_data.config import ShardsConfig
from diagonal_data.rows import read_rows
from diagonal_data.schema import CANDIDATE_SCHEMA, ROW_SCHEMA, candidate_for, candidates_table
from diagonal_data.shards import build_dataset
from diagonal_data.takedown.compact import compact
from diagonal_data.takedown.config import CompactConfig, TakedownConfig
from diagonal_data.takedown.requests import take_down

COUNT = 8


@pytest.fixture
def web(small_web, make_jpeg):
    for i in range(COUNT + 4):
        small_web.add(f"/{i}.jpg", make_jpeg(i))
    return small_web


def build(folder: Path, web, numbers: range) -> str:
    candidates = [candidate_for(web.url(f"/{i}.jpg"), f"picture {i}") for i in numbers]
    pq.write_table(candidates_table(candidates), folder / "c.parquet")
    dataset = str(folder / "d")
    config = ShardsConfig(
        candidates=str(folder / "c.parquet"),
        dataset=dataset,
        allow_hosts=(web.host,),
        samples_per_shard=4,
        image_size=32,
        local=True,
    )
    web.asked = []
    build_dataset(config)
    return dataset


def rows_of(dataset: str) -> dict[str, dict]:
    rows = read_rows(dataset, ROW_SCHEMA.names).to_pylist()
    return {row["uid"]: row for row in rows}


def pictures(web) -> set[str]:
    return {path for path in web.asked if path.endswith(".jpg")}


def uid_at(web, index: int) -> str:
    return candidate_for(web.url(f"/{index}.jpg"), f"picture {index}").uid


@pytest.mark.parametrize("compacts", [True, False])
def test_shards_that_are_built_again_go_without(tmp_path: Path, web, compacts: bool) -> None:
    dataset = build(tmp_path, web, range(COUNT))
    stored = rows_of(dataset)[uid_at(web, 3)]
    assert stored["status"] == "success"
    # By its picture, which no candidate tells; and by its address.
    take_down(TakedownConfig(dataset=dataset, sha256=(stored["sha256"],)))
    take_down(TakedownConfig(dataset=dataset, url=(web.url("/5.jpg"),)))
    if compacts:
        compact(CompactConfig(dataset=dataset))
    shutil.rmtree(tmp_path / "d" / "shards")
    (tmp_path / "d" / "manifest.json").unlink()
    build(tmp_path, web, range(COUNT))
    assert pictures(web) == {f"/{i}.jpg" for i in range(COUNT) if i not in (3, 5)}
    reasons = {uid: row["reason"] for uid, row in rows_of(dataset).items()}
    assert [reasons[uid_at(web, i)] for i in (3, 5)] == ["taken_down"] * 2
    assert list(reasons.values()).count(None) == COUNT - 2


def test_appended_candidates_are_judged_by_tombstones_and_leave_no_content(
    tmp_path: Path, web
) -> None:
    dataset = build(tmp_path, web, range(COUNT))
    same = hashlib.sha256(web.pages["/10.jpg"].body).hexdigest()
    flags = {"url": (web.url("/9.jpg"),), "sha256": (same,), "uid": (uid_at(web, 11),)}
    found = take_down(TakedownConfig(dataset=dataset, **flags))
    assert (found.uids, found.unknown) == ([], {"url": 1, "sha256": 1, "uid": 1})
    build(tmp_path, web, range(COUNT + 4))
    assert pictures(web) == {"/10.jpg", "/8.jpg"}
    rows = rows_of(dataset)
    assert rows[uid_at(web, 8)]["status"] == "success"
    for index in (9, 10, 11):
        told = {name for name, value in rows[uid_at(web, index)].items() if value}
        assert told == {"uid", "key", "status", "reason", "shard"}
        assert rows[uid_at(web, index)]["reason"] == "taken_down"
    assert len(web.pages["/10.jpg"].body) > 0
    tars = b"".join(path.read_bytes() for path in Path(dataset).glob("shards/*.tar"))
    assert b"picture 8" in tars
    assert b"picture 10" not in tars


def test_a_planned_unit_is_judged_when_it_is_built(tmp_path: Path, web) -> None:
    dataset = build(tmp_path, web, range(COUNT))
    shard = pq.read_table(f"{dataset}/shards/00000001.parquet")
    unit = shard.select(CANDIDATE_SCHEMA.names)
    pq.write_table(unit, f"{dataset}/units/00000001.parquet")
    for name in ("00000001.tar", "00000001.parquet", "00000001_stats.json"):
        Path(dataset, "shards", name).unlink()
    take_down(TakedownConfig(dataset=dataset, url=(web.url("/6.jpg"),)))
    compact(CompactConfig(dataset=dataset))
    build(tmp_path, web, range(COUNT))
    assert pictures(web) == {"/4.jpg", "/5.jpg", "/7.jpg"}
    assert rows_of(dataset)[uid_at(web, 6)]["reason"] == "taken_down"


def test_a_redirect_to_a_host_that_is_out_is_not_stored(tmp_path: Path, web, make_jpeg) -> None:
    port = web.host.rpartition(":")[2]
    web.add("/moved.jpg", b"", status=302, headers={"Location": f"http://localhost:{port}/1.jpg"})
    build(tmp_path, web, range(1))
    dataset = str(tmp_path / "d")
    take_down(TakedownConfig(dataset=dataset, host=("localhost",)))
    moved = candidate_for(web.url("/moved.jpg"), "a moved picture")
    pq.write_table(candidates_table([moved]), tmp_path / "c.parquet")
    config = ShardsConfig(
        candidates=str(tmp_path / "c.parquet"),
        dataset=dataset,
        allow_hosts=(web.host, f"localhost:{port}"),
        samples_per_shard=4,
        image_size=32,
        local=True,
    )
    build_dataset(config)
    assert rows_of(dataset)[moved.uid]["reason"] == "taken_down"
