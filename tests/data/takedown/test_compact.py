import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any, cast

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.stored import (
    add_scores,
    caption_of,
    image_of,
    stored_images,
    uid_of,
    url_of,
    write_dataset,
)
from webdataset.tariterators import tar_file_iterator

from diagonal_data.manifest import (
    Manifest,
    ShardInfo,
    finished_shards,
    funnel_of,
    read_manifest,
)
from diagonal_data.rows import read_rows, read_shard_rows
from diagonal_data.schema import ROW_SCHEMA
from diagonal_data.takedown import ledger
from diagonal_data.takedown.compact import compact
from diagonal_data.takedown.config import CompactConfig, TakedownConfig
from diagonal_data.takedown.requests import take_down
from diagonal_data.tombstones import read_tombstones
from diagonal_infra import storage
from diagonal_infra.errors import UnitError, UserError

GONE = (1, 2, 7, 9)
"""Two adjacent samples, one row that had failed, one sample of the next shard."""
SIZE = 8


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    dataset = write_dataset(tmp_path / "d", size=SIZE)
    add_scores(dataset)
    return dataset


def take_down_and_compact(dataset: str, indexes: tuple[int, ...] = GONE) -> int:
    take_down(TakedownConfig(dataset=dataset, uid=tuple(map(uid_of, indexes)), by="alice"))
    return compact(CompactConfig(dataset=dataset, by="bob"))


def key_of(index: int) -> str:
    return f"{index // SIZE:08d}{index % SIZE:04d}"


def all_bytes(dataset: str) -> bytes:
    """Of every file but the tombstones, Parquet's columns uncompressed."""
    content = b""
    for path in sorted(Path(dataset).rglob("*")):
        if path.suffix == ".parquet" and path.name != "tombstones.parquet":
            content += repr(pq.read_table(path).to_pylist()).encode()
        elif path.is_file():
            content += path.read_bytes()
    return content


def test_nothing_of_the_content_stays(dataset: str) -> None:
    before = stored_images(dataset)
    assert take_down_and_compact(dataset) == 2
    content = all_bytes(dataset)
    for index in GONE:
        texts = (url_of(index), f'"{caption_of(index)}"', f"'{caption_of(index)}'")
        assert not [text for text in texts if text.encode() in content]
        assert image_of(index)[:200] not in content
        assert hashlib.sha256(image_of(index)).hexdigest().encode() not in content
    kept = {key: image for key, image in before.items() if key not in map(key_of, GONE)}
    assert stored_images(dataset) == kept
    assert len(kept) == len(before) - 3


def test_what_is_left_of_a_row_and_of_the_counts(dataset: str) -> None:
    take_down_and_compact(dataset)
    rows = read_rows(dataset, ROW_SCHEMA.names).to_pylist()
    told = {name: value for name, value in rows[1].items() if value is not None}
    assert told == {
        "uid": uid_of(1),
        "url": "",
        "caption": "",
        "key": key_of(1),
        "status": "failed",
        "reason": "taken_down",
        "shard": "00000000",
    }
    funnel = funnel_of(finished_shards(dataset).values())
    assert (funnel.input, funnel.kept) == (24, 18)
    assert funnel.reasons == {"not_found": 2, "taken_down": 4}
    listed = read_manifest(dataset)["shards"]
    stats = json.loads(Path(dataset, "shards", "00000000_stats.json").read_text())
    assert stats["successes"] == 5
    assert stats["status_dict"] == {"success": 5, "taken_down": 3}
    assert stats["duration"] == 1.5
    assert {key: stats[key] for key in listed[0]} == listed[0]
    for shard in listed:
        tar = Path(dataset, "shards", f"{shard['name']}.tar").read_bytes()
        assert (len(tar), hashlib.sha256(tar).hexdigest()) == (shard["bytes"], shard["sha256"])


def test_the_tar_is_read_by_tar_and_by_webdataset(dataset: str) -> None:
    take_down_and_compact(dataset)
    path = f"{dataset}/shards/00000000.tar"
    with tarfile.open(path) as tar:
        names = [member.name for member in tar.getmembers()]
    assert names.count("__taken_down__") == 1
    assert len(names) == 1 + 3 * 5
    with Path(path).open("rb") as file:
        files = [file["fname"] for file in tar_file_iterator(cast(Any, file)) if "fname" in file]
    keys = list(dict.fromkeys(name.partition(".")[0] for name in files))
    assert keys == [key_of(index) for index in (0, 3, 4, 5, 6)]


def test_the_samples_that_stay_do_not_move(dataset: str) -> None:
    before = read_shard_rows(dataset, "00000000", ["uid", "tar_offset", "tar_bytes"]).to_pylist()
    take_down_and_compact(dataset)
    after = read_shard_rows(dataset, "00000000", ["uid", "tar_offset", "tar_bytes"]).to_pylist()
    assert [row for i, row in enumerate(after) if i not in GONE] == [
        row for i, row in enumerate(before) if i not in GONE
    ]


def test_scores_and_embeddings_stay_aligned_and_keep_their_source(dataset: str) -> None:
    take_down_and_compact(dataset)
    for shard in ("00000000", "00000001", "00000002"):
        rows = read_shard_rows(dataset, shard, ["uid", "caption", "status"]).to_pylist()
        stored = [row for row in rows if row["status"] == "success"]
        indexes = [float(row["caption"].split()[-1]) for row in stored]
        table = pq.read_table(f"{dataset}/scores/clip/demo/{shard}.parquet")
        assert table["uid"].to_pylist() == [row["uid"] for row in stored]
        assert table["similarity"].to_pylist() == indexes
        assert table.schema.metadata[b"diagonal_source"] == b"model 1"
        with np.load(f"{dataset}/embeddings/demo/{shard}.npz") as arrays:
            assert arrays["uid"].tolist() == [row["uid"] for row in stored]
            assert arrays["image"][:, 0].tolist() == indexes
            assert str(arrays["source"]) == "m"


def test_a_sidecar_that_cannot_be_read_is_removed(dataset: str) -> None:
    scores = Path(dataset, "scores", "clip", "demo", "00000000.parquet")
    scores.write_bytes(b"half")
    embeddings = Path(dataset, "embeddings", "demo", "00000000.npz")
    embeddings.write_bytes(b"half")
    take_down_and_compact(dataset)
    assert not scores.exists()
    assert not embeddings.exists()


def test_compacting_twice_changes_nothing_more(dataset: str) -> None:
    take_down_and_compact(dataset)
    before = {path: path.read_bytes() for path in Path(dataset).rglob("*") if path.is_file()}
    assert compact(CompactConfig(dataset=dataset)) == 0
    assert {p: p.read_bytes() for p in Path(dataset).rglob("*") if p.is_file()} == before
    take_down_and_compact(dataset, (3,))
    assert key_of(3) not in stored_images(dataset)


def test_plans_retry_lists_reports_indexes_and_the_cache_are_emptied_too(dataset: str) -> None:
    rows = [
        {"uid": f"{n:032x}", "url": f"http://secret.example/{n}", "caption": "x"} for n in (1, 2)
    ]
    rows[1]["url"] = "http://kept.example/2"
    table = pa.Table.from_pylist(rows)
    for folder, extra in (("units", {}), ("retries", {"previous_reason": ["timed_out"] * 2})):
        Path(dataset, folder).mkdir()
        for name, values in extra.items():
            table = table.append_column(name, pa.array(values))
        table = table.replace_schema_metadata({"retry_pass": "1"})
        pq.write_table(table, f"{dataset}/{folder}/00000009.parquet")
    report = Path(dataset, "filters", "f", "report.html")
    storage.write_bytes(str(report), b"<img>")
    index = Path(dataset, "embeddings", "clip", "index-image-flat-0123456789abcdef.faiss")
    storage.write_bytes(str(index), b"vectors")
    columns = Path(dataset, "cache", "shards", "url", "00000.arrow")
    storage.write_bytes(str(columns), b"http://secret.example/1")
    take_down(TakedownConfig(dataset=dataset, host=("secret.example",), uid=(uid_of(0),)))
    compact(CompactConfig(dataset=dataset))
    retries = pq.read_table(f"{dataset}/retries/00000009.parquet")
    assert retries["url"].to_pylist() == ["", "http://kept.example/2"]
    assert retries["previous_reason"].to_pylist() == ["timed_out"] * 2
    assert retries.schema.metadata[b"retry_pass"] == b"1"
    assert b"secret.example" not in Path(dataset, "units", "00000009.parquet").read_bytes()
    assert f"{1:032x}" in read_tombstones(dataset)["uid"].to_pylist()
    assert not report.exists()
    assert not index.exists()
    assert not columns.exists()


def test_the_counts_of_retried_rows_still_add_up(dataset: str) -> None:
    """Row 7 failed first and was stored by a retry; both of its rows are emptied."""
    folder = Path(dataset, "shards")
    retried = read_shard_rows(dataset, "00000000", ROW_SCHEMA.names).slice(7, 1).to_pylist()[0]
    rows = pa.Table.from_pylist([retried | {"reason": "timed_out"}], schema=ROW_SCHEMA)
    pq.write_table(rows, folder / "00000003.parquet")
    tar = folder / "00000003.tar"
    tar.write_bytes(bytes(10240))
    manifest = Manifest(dataset=dataset, settings={}, shards=finished_shards(dataset))
    manifest.add(
        ShardInfo(
            name="00000003",
            candidates=1,
            samples=0,
            bytes=10240,
            sha256=hashlib.sha256(tar.read_bytes()).hexdigest(),
            reasons={"timed_out": 1},
            retry_pass=1,
            retried={"not_found": 1},
        )
    )
    manifest.write()
    take_down_and_compact(dataset, (7,))
    manifest_shards = {s["name"]: s for s in read_manifest(dataset)["shards"]}
    assert manifest_shards["00000000"]["reasons"] == {"not_found": 1}
    assert manifest_shards["00000003"]["reasons"] == {"taken_down": 1}
    assert url_of(7).encode() not in all_bytes(dataset)


def test_a_damaged_shard_is_named_and_the_others_are_done(
    dataset: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = Path(dataset, "shards", "00000000.tar")
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    with pytest.raises(UnitError, match="1 of 2 shards were not rewritten: 00000000"):
        take_down_and_compact(dataset)
    assert "is not the tar that was built" in caplog.text
    assert path.read_bytes() == content
    assert key_of(9) not in stored_images(dataset)
    assert ledger.read(dataset)[-1]["failed"] == ["00000000"]
    assert not list(Path(dataset).rglob("*partial*"))
    content[5000] ^= 1
    path.write_bytes(content)
    assert compact(CompactConfig(dataset=dataset)) == 1
    assert key_of(1) not in stored_images(dataset)


def test_object_stores_are_compacted_to_the_same_files(dataset: str) -> None:
    store = fsspec.filesystem("memory")
    try:
        store.put(dataset, "/takedown", recursive=True)
        take_down_and_compact("memory://takedown")
        take_down_and_compact(dataset)
        for path in Path(dataset, "shards").iterdir():
            if path.suffix != ".parquet":
                assert storage.read_bytes(f"memory://takedown/shards/{path.name}") == (
                    path.read_bytes()
                )
    finally:
        store.store.clear()


def test_while_a_build_runs_it_is_refused(dataset: str) -> None:
    take_down(TakedownConfig(dataset=dataset, uid=(uid_of(1),)))
    with storage.sole_writer(dataset), pytest.raises(UserError, match="another run is writing"):
        compact(CompactConfig(dataset=dataset))


def test_the_blank_takes_no_room_on_a_local_disk(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "big", shards=1, size=400)
    path = Path(dataset, "shards", "00000000.tar")
    before = path.stat()
    take_down_and_compact(dataset, tuple(range(10, 390)))
    after = path.stat()
    assert after.st_size == before.st_size
    assert after.st_blocks < before.st_blocks / 3
