"""A compaction that is killed before any file it writes, and run again."""

import io
import random
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.data.stored import add_scores, stored_images, uid_of, write_dataset

from diagonal_data.rows import read_rows
from diagonal_data.schema import ROW_SCHEMA
from diagonal_data.takedown.compact import compact
from diagonal_data.takedown.config import CompactConfig, TakedownConfig
from diagonal_data.takedown.requests import take_down

GONE = (1, 2, 7, 9)


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    dataset = write_dataset(tmp_path / "d")
    add_scores(dataset)
    return dataset


KILLED = """
import os, sys
from diagonal_infra import storage
from diagonal_data.takedown.compact import compact
from diagonal_data.takedown.config import CompactConfig
left = int(sys.argv[2])
write, delete = storage.write_whole, storage.delete
def counted(inner):
    def step(path, *rest):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return inner(path, *rest)
    return step
storage.write_whole = counted(write)
storage.delete = counted(delete)
compact(CompactConfig(dataset=sys.argv[1], by="bob"))
"""
"""Dies before the n-th file is written or removed."""


def result(dataset: str) -> dict[str, bytes | str]:
    """All that a compaction writes, but for the log; Parquet by its rows."""
    found: dict[str, bytes | str] = {}
    for path in sorted(Path(dataset).rglob("*")):
        if path.is_file() and path.name not in ("takedowns.jsonl", ".lock"):
            table = path.suffix == ".parquet"
            name = str(path.relative_to(dataset))
            if path.name == "tombstones.parquet":
                found[name] = repr(sorted(set(pq.read_table(path)["uid"].to_pylist())))
            else:
                found[name] = repr(pq.read_table(path)) if table else path.read_bytes()
    return found


def test_killed_before_any_file_and_run_again_it_ends_with_the_same_files(
    dataset: str, tmp_path: Path
) -> None:
    take_down(TakedownConfig(dataset=dataset, uid=tuple(map(uid_of, GONE)), by="alice"))
    whole = shutil.copytree(dataset, tmp_path / "whole")
    compact(CompactConfig(dataset=str(whole)))
    expected = result(str(whole))
    kept = stored_images(str(whole))
    steps, code = random.Random(3).randrange(2), 9
    while code == 9:
        killed = str(shutil.copytree(dataset, tmp_path / f"killed-{steps}"))
        done = subprocess.run([sys.executable, "-c", KILLED, killed, str(steps)], check=False)
        code = done.returncode
        images = stored_images_left(killed)
        assert all(images[key] == image for key, image in kept.items())
        compact(CompactConfig(dataset=killed))
        assert result(killed) == expected
        steps += 2
    assert code == 0
    assert steps > 12


def stored_images_left(dataset: str) -> dict[str, bytes]:
    """What readers see between a kill and the next compaction: tombstoned rows are passed over."""
    rows = read_rows(dataset, ROW_SCHEMA.names).to_pylist()
    gone = set(map(uid_of, GONE))
    tars = {s: Path(dataset, "shards", f"{s}.tar").read_bytes() for s in {r["shard"] for r in rows}}
    found = {}
    for row in rows:
        if row["status"] == "success" and row["uid"] not in gone:
            begin = row["tar_offset"]
            content = tars[row["shard"]][begin : begin + row["tar_bytes"]]
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                member = tar.extractfile(f"{row['key']}.jpg")
                assert member is not None
                found[row["key"]] = member.read()
    return found
