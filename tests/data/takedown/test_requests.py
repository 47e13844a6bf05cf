import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.stored import image_of, uid_of, url_of, write_dataset

from diagonal_data.rows import read_rows, taken_down
from diagonal_data.takedown import ledger
from diagonal_data.takedown.config import TakedownConfig
from diagonal_data.takedown.requests import take_down
from diagonal_data.tombstones import TAKEDOWN_COLUMNS, read_tombstones
from diagonal_infra.errors import UserError

ROWS = 24


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    return write_dataset(tmp_path / "d")


def left(dataset: str, columns: tuple[str, ...] = TAKEDOWN_COLUMNS) -> set[str]:
    rows = read_rows(dataset, columns)
    gone = taken_down(dataset, rows)
    pairs = zip(rows["uid"].to_pylist(), gone, strict=True)
    return {uid for uid, is_gone in pairs if not is_gone}


@pytest.mark.parametrize(
    ("flags", "gone"),
    [
        ({"uid": (uid_of(3).upper(),)}, {3}),
        ({"url": (url_of(4).replace("http", "HTTP"),)}, {4}),
        ({"host": ("img.example.org",)}, set(range(0, ROWS, 3))),
        ({"host": ("example.org",)}, set()),
        ({"host": ("example.org",), "subdomains": True}, set(range(0, ROWS, 3))),
        ({"page": ("http://pages.example/1",)}, {4, 5, 6, 7}),
    ],
)
def test_what_is_named_is_out_at_once_for_readers_of_any_columns(
    dataset: str, flags: dict, gone: set[int]
) -> None:
    found = take_down(TakedownConfig(dataset=dataset, **flags))
    expected = {uid_of(i) for i in range(ROWS)} - {uid_of(i) for i in gone}
    assert len(found.uids) == len(gone)
    assert left(dataset) == expected
    assert left(dataset, ("uid", "url")) == expected


def test_a_picture_by_its_hash(dataset: str) -> None:
    rows = read_rows(dataset, ["uid", "sha256", "phash"]).to_pylist()
    near = f"{rows[5]['phash'] ^ 0b101:016x}"
    flags = {"sha256": (rows[2]["sha256"],), "phash": (near,), "phash_distance": 2}
    assert take_down(TakedownConfig(dataset=dataset, **flags)).uids == [uid_of(2), uid_of(5)]
    assert uid_of(5) not in left(dataset, ("uid", "url"))
    assert image_of(2) != image_of(5)


def test_unknown_ones_are_counted_and_cannot_come_in_later(dataset: str) -> None:
    unknown = ("0" * 32, uid_of(1))
    found = take_down(TakedownConfig(dataset=dataset, uid=unknown, host=("no.example",)))
    assert found.unknown == {"uid": 1, "host": 1}
    assert "0" * 32 in read_tombstones(dataset)["uid"].to_pylist()
    assert "no.example" in read_tombstones(dataset)["host"].to_pylist()


def test_the_log_says_who_why_and_how_much_and_nothing_of_the_content(dataset: str) -> None:
    config = TakedownConfig(dataset=dataset, url=(url_of(4),), by="alice", reason="letter 12")
    take_down(config)
    take_down(TakedownConfig(dataset=dataset, page=("http://pages.example/0",), by="bob"))
    first, second = ledger.read(dataset)
    assert (first["by"], first["reason"], first["rows"], first["samples"]) == (
        *("alice", "letter 12"),
        *(1, 1),
    )
    assert (second["by"], second["rows"], second["samples"]) == ("bob", 4, 4)
    text = Path(ledger.ledger_path(dataset)).read_text()
    assert url_of(4) not in text
    assert "pages.example" not in text
    told = first["selectors"]["url"]
    assert told == {
        "given": 1,
        "unknown": 0,
        "salted_sha256": ledger.salted("url", [url_of(4)], first["salt"]),
    }


def test_a_log_that_was_changed_is_noticed(dataset: str) -> None:
    for index in range(2):
        take_down(TakedownConfig(dataset=dataset, uid=(uid_of(index),), by="alice"))
    path = Path(ledger.ledger_path(dataset))
    path.write_text(path.read_text().replace('"alice"', '"mallory"', 1))
    with pytest.raises(UserError, match="line 2: the line before is not what it was"):
        ledger.read(dataset)


def test_the_same_request_again_adds_a_line_to_the_log_only(dataset: str) -> None:
    config = TakedownConfig(dataset=dataset, host=("img.example.org",))
    take_down(config)
    before = read_tombstones(dataset)
    take_down(config)
    assert read_tombstones(dataset).equals(before)
    assert len(ledger.read(dataset)) == 2


def test_a_dry_run_writes_nothing(dataset: str) -> None:
    files = {path: path.stat().st_mtime_ns for path in Path(dataset).rglob("*")}
    found = take_down(TakedownConfig(dataset=dataset, host=("img.example.org",), dry_run=True))
    assert len(found.uids) == 8
    assert {path: path.stat().st_mtime_ns for path in Path(dataset).rglob("*")} == files


def test_takedowns_at_the_same_time_lose_nothing(dataset: str) -> None:
    command = [sys.executable, "-m", "diagonal_data.takedown", "--dataset", dataset, "--uid"]
    running = [
        subprocess.Popen([*command, uid_of(index)], stdout=subprocess.DEVNULL) for index in range(6)
    ]
    assert [process.wait() for process in running] == [0] * 6
    assert {uid_of(index) for index in range(6)} <= set(read_tombstones(dataset)["uid"].to_pylist())
    assert len(ledger.read(dataset)) == 6


def test_tombstones_written_by_hand_are_kept(dataset: str) -> None:

    pq.write_table(pa.table({"host": ["host1.example"]}), f"{dataset}/tombstones.parquet")
    take_down(TakedownConfig(dataset=dataset, uid=(uid_of(0),)))
    assert read_tombstones(dataset)["host"].drop_null().to_pylist() == ["host1.example"]


def test_a_store_that_cannot_be_written_to_is_the_users_to_mend(dataset: str) -> None:
    (Path(dataset) / "takedowns").write_text("in the way")
    with pytest.raises(UserError, match="cannot write to"):
        take_down(TakedownConfig(dataset=dataset, uid=(uid_of(0),)))
    assert not (Path(dataset) / "tombstones.parquet").exists()


def test_no_dataset_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no dataset at"):
        take_down(TakedownConfig(dataset=str(tmp_path), uid=("0" * 32,)))


def test_the_commands_of_the_page(dataset: str) -> None:
    def run(*words: str) -> str:
        command = [sys.executable, "-m", "diagonal_data.takedown", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    out = run("--dataset", dataset, "--host", "img.example.org", "--by", "alice")
    assert "8 rows taken down, 7 samples" in out
    status = json.loads(run("status", "--dataset", dataset, "--json"))
    assert status["not_compacted"]["samples"] == 7
    assert "3 shards rewritten" in run("compact", "--dataset", dataset)
    status = json.loads(run("status", "--dataset", dataset, "--json"))
    assert status["not_compacted"] == {"rows": 0, "samples": 0, "shards": []}
    assert "img.example.org" in run("list", "--dataset", dataset)
