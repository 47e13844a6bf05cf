"""A dataset built by several commands, beside each other and one after the other."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diagonal_data import parts
from diagonal_data.config import ShardsConfig
from diagonal_data.fetch_config import FetchConfig
from diagonal_data.manifest import read_manifest
from diagonal_data.parts import Part, parse_part, require_no_parts, sole_builder, turn
from diagonal_data.schema import candidate_for, candidates_table
from diagonal_data.shards import build_dataset
from diagonal_infra import storage
from diagonal_infra.errors import UserError

COUNT = 22
SHARDS = 6


@pytest.fixture
def web(small_web, make_jpeg):
    for i in range(COUNT):
        small_web.add(f"/{i}.jpg", make_jpeg(i))
    return small_web


@pytest.fixture
def config(tmp_path: Path, web) -> ShardsConfig:
    """Of the whole; the dataset that it makes is in the folder `whole`."""
    candidates = [candidate_for(web.url(f"/{i}.jpg"), f"picture {i}") for i in range(COUNT)]
    pq.write_table(candidates_table(candidates), tmp_path / "c.parquet")
    config = ShardsConfig(
        candidates=str(tmp_path / "c.parquet"),
        dataset=str(tmp_path / "whole"),
        samples_per_shard=4,
        image_size=32,
        local=True,
        allow_hosts=(web.host,),
    )
    build_dataset(config)
    return replace(config, dataset=str(tmp_path / "d"))


def contents(dataset: Path) -> tuple[dict[str, bytes], pa.Table]:
    """All tars, and all row tables but for times."""
    tables = [pq.read_table(path) for path in sorted(dataset.glob("shards/*.parquet"))]
    tars = {path.name: path.read_bytes() for path in dataset.glob("shards/*.tar")}
    return tars, pa.concat_tables(tables).drop_columns("fetch_ms")


def manifest_of(dataset: Path) -> dict:
    manifest = read_manifest(str(dataset))
    assert manifest["config"].pop("dataset") == str(dataset)
    return manifest


def check_like_whole(dataset: Path) -> None:
    """The dataset is what one undisturbed run makes."""
    whole = dataset.with_name("whole")
    assert contents(dataset) == contents(whole)
    assert manifest_of(dataset) == manifest_of(whole)
    assert not list(dataset.glob("units/*"))
    assert not list(dataset.rglob("*partial*"))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)  # the poll interval, not a wait for luck


def test_a_part_is_written_as_a_share_of_all() -> None:
    assert parse_part("3/8") == Part(number=3, count=8)
    assert [shard for shard in range(20) if Part(number=3, count=8).takes(f"{shard:08d}")] == [
        2,
        10,
        18,
    ]
    for wrong in ("0/8", "9/8", "3", "3/", "-1/8", "a/b"):
        with pytest.raises(UserError, match="--part is I/N with I from 1 to N"):
            parse_part(wrong)


def test_every_shard_is_of_one_part() -> None:
    all_parts = [Part(number=number, count=3) for number in (1, 2, 3)]
    for shard in range(7):
        assert sum(part.takes(f"{shard:08d}") for part in all_parts) == 1


def test_limits_per_host_are_shared_out() -> None:
    share = FetchConfig(max_per_host=4, max_per_second=5.0).shared_by(8)
    assert (share.max_per_host, share.max_per_second) == (1, 5.0 / 8)
    assert (share.fast_max_per_host, share.fast_max_per_second) == (4, 12.5)
    assert FetchConfig(max_per_second=0).shared_by(8).max_per_second == 0


def test_a_retry_is_not_divided(config: ShardsConfig) -> None:
    with pytest.raises(ValueError, match="--retry transient goes without --part"):
        replace(config, retry="transient", part="1/2")


def test_parts_one_after_the_other_make_the_whole(config: ShardsConfig) -> None:
    dataset = Path(config.dataset)
    assert build_dataset(replace(config, part="2/2")).input == 10
    assert {path.name for path in dataset.glob("shards/*.tar")} == {
        f"{shard:08d}.tar" for shard in (1, 3, 5)
    }
    assert len(read_manifest(config.dataset)["shards"]) == 3
    assert build_dataset(replace(config, part="1/2")).input == COUNT
    check_like_whole(dataset)


def test_parts_beside_each_other_make_the_whole(config: ShardsConfig, web) -> None:
    held = web.held = {"/0.jpg": threading.Event(), "/4.jpg": threading.Event()}
    web.asked.clear()
    threads = [
        threading.Thread(target=build_dataset, args=(replace(config, part=f"{i}/3"),))
        for i in (1, 2)
    ]
    for thread in threads:
        thread.start()
    # Two wait in the middle of their first shard while the third ends and writes the manifest.
    wait_until(lambda: set(held) <= set(web.asked))
    build_dataset(replace(config, part="3/3"))
    assert len(read_manifest(config.dataset)["shards"]) == 2
    for event in held.values():
        event.set()
    for thread in threads:
        thread.join()
    check_like_whole(Path(config.dataset))


def test_the_ordinary_command_finishes_what_parts_left(config: ShardsConfig, web) -> None:
    build_dataset(replace(config, part="1/3"))
    web.asked.clear()
    build_dataset(config)
    assert len([path for path in web.asked if path.endswith(".jpg")]) == COUNT - 8
    check_like_whole(Path(config.dataset))


def test_input_that_grew_is_planned_by_the_next_part(config: ShardsConfig, web) -> None:
    rows = pq.read_table(config.candidates)
    pq.write_table(rows.slice(0, 16), config.candidates)
    build_dataset(replace(config, part="1/2"))
    pq.write_table(rows, config.candidates)
    for part in ("2/2", "1/2"):
        build_dataset(replace(config, part=part))
    check_like_whole(Path(config.dataset))


def command(config: ShardsConfig, part: str) -> list[str]:
    return [
        sys.executable, "-m", "diagonal_data.shards", "web", "--local", "--part", part,
        "--candidates", config.candidates, "--dataset", config.dataset,
        "--image-size", "32", "--samples-per-shard", "4", "--allow-hosts", *config.allow_hosts,
    ]  # fmt: skip


def test_a_killed_part_loses_nothing_and_a_second_start_does_no_harm(
    config: ShardsConfig, web
) -> None:
    # In the second shard of part 1, the third of all.
    web.held = {"/9.jpg": threading.Event()}
    web.asked.clear()
    first = subprocess.Popen(
        command(config, "1/2"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_until(lambda: "/9.jpg" in web.asked)
    for other, said in ((command(config, "1/2"), "part 1/2"), (command(config, "2/3"), "part 1/2")):
        done = subprocess.run(other, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert f"{said} of {config.dataset!r} is being built" in done.stderr
    with pytest.raises(UserError, match=r"part 1/2 of .* is being built; wait for it or end it"):
        build_dataset(config)
    build_dataset(replace(config, part="2/2"))
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    web.held.pop("/9.jpg").set()
    (Path(config.dataset) / "shards" / f"00000002.tar{storage.PARTIAL_MARK}1").write_bytes(b"half")
    subprocess.run(command(config, "1/2"), check=True, capture_output=True)
    check_like_whole(Path(config.dataset))


def test_a_store_without_locks_is_refused(config: ShardsConfig) -> None:
    with pytest.raises(UserError, match="--part needs a shared folder or S3; 'memory://d'"):
        build_dataset(replace(config, dataset="memory://d", part="1/2"))


def test_what_another_part_is_writing_is_left_alone(config: ShardsConfig) -> None:
    shards = Path(config.dataset) / "shards"
    shards.mkdir(parents=True)
    theirs = shards / f"00000001.tar{storage.PARTIAL_MARK}1"
    theirs.write_bytes(b"half")
    build_dataset(replace(config, part="1/2"))
    assert theirs.read_bytes() == b"half"


def test_a_part_waits_for_its_turn(tmp_path: Path) -> None:
    part, entered = Part(number=1, count=2), threading.Event()

    def take_turn() -> None:
        with turn(str(tmp_path), part):
            entered.set()

    with storage.sole_writer(str(tmp_path)):
        thread = threading.Thread(target=take_turn)
        thread.start()
        assert not entered.wait(0.1)
    thread.join()
    assert entered.is_set()


def test_parts_of_the_same_division_do_not_exclude_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, mine = str(tmp_path), Part(number=1, count=2)
    with sole_builder(dataset, mine):
        with turn(dataset, Part(number=2, count=2)):
            pass
        with pytest.raises(UserError, match="part 1/2 of"), turn(dataset, Part(number=2, count=3)):
            pass
        monkeypatch.setattr(parts, "LOOK_SECONDS", 0.0)
        with pytest.raises(UserError, match="part 1/2 of"), sole_builder(dataset, mine):
            pass
    require_no_parts(dataset)
