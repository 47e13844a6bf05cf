"""The shards command: resume, kill -9, grown input, and the user's mistakes."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diagonal_data.config import DecodeConfig, ShardsConfig
from diagonal_data.manifest import ShardInfo, read_manifest
from diagonal_data.schema import candidate_for, candidates_table
from diagonal_data.shards import Pace, build_dataset, units_at_once
from diagonal_infra import storage
from diagonal_infra.errors import UnitError, UserError
from diagonal_infra.stage_metrics import serving_stage

COUNT = 24


@pytest.fixture
def web(small_web, make_jpeg):
    for i in range(COUNT):
        small_web.add(f"/{i}.jpg", make_jpeg(i))
    return small_web


def write_candidates(folder: Path, web, numbers: range | list[int]) -> str:
    candidates = [candidate_for(web.url(f"/{i}.jpg"), f"picture {i}") for i in numbers]
    (folder / "c").mkdir(exist_ok=True)
    pq.write_table(candidates_table(candidates), folder / "c" / "part-00000.parquet")
    return str(folder / "c")


def config_for(folder: Path, web, **changes) -> ShardsConfig:
    settings = {"samples_per_shard": 4, "image_size": 32, "local": True, "workers": 2}
    return ShardsConfig(
        candidates=str(folder / "c"),
        dataset=str(folder / "d"),
        allow_hosts=(web.host,),
        **(settings | changes),
    )


def tars(dataset: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(dataset.glob("shards/*.tar"))}


def test_the_dataset_folder_is_whole(tmp_path: Path, web) -> None:
    write_candidates(tmp_path, web, [*range(COUNT), 99])
    funnel = build_dataset(config_for(tmp_path, web))
    assert (funnel.input, funnel.kept, funnel.reasons) == (25, 24, {"not_found": 1})
    manifest = read_manifest(str(tmp_path / "d"))
    assert [shard["name"] for shard in manifest["shards"]] == [f"{i:08d}" for i in range(7)]
    assert sum(shard["samples"] for shard in manifest["shards"]) == 24
    assert manifest["config"]["image_size"] == 32
    leftovers = [path.name for path in (tmp_path / "d").rglob("*") if "partial" in path.name]
    assert leftovers == []
    assert list((tmp_path / "d" / "units").iterdir()) == []


def test_running_again_fetches_nothing(tmp_path: Path, web) -> None:
    write_candidates(tmp_path, web, range(COUNT))
    first = build_dataset(config_for(tmp_path, web))
    before, web.asked = tars(tmp_path / "d"), []
    assert build_dataset(config_for(tmp_path, web)) == first
    assert web.asked == []
    assert tars(tmp_path / "d") == before


def test_grown_input_adds_shards_and_leaves_the_old_ones(tmp_path: Path, web) -> None:
    write_candidates(tmp_path, web, range(8))
    build_dataset(config_for(tmp_path, web))
    before, web.asked = tars(tmp_path / "d"), []
    write_candidates(tmp_path, web, [11, 3, 10, 1, 9, 8, *range(8)])
    funnel = build_dataset(config_for(tmp_path, web))
    assert funnel.kept == 12
    assert sorted(path for path in web.asked if path != "/robots.txt") == [
        "/10.jpg",
        "/11.jpg",
        "/8.jpg",
        "/9.jpg",
    ]
    after = tars(tmp_path / "d")
    assert {name: after[name] for name in before} == before
    assert len(after) == 3


def test_other_settings_are_refused_by_name(tmp_path: Path, web) -> None:
    write_candidates(tmp_path, web, range(4))
    build_dataset(config_for(tmp_path, web))
    before = tars(tmp_path / "d")
    with pytest.raises(UserError, match="--image-size was 32, is 64"):
        build_dataset(config_for(tmp_path, web, image_size=64))
    with pytest.raises(UserError, match=r"--decode\.quality was 95, is 80"):
        build_dataset(config_for(tmp_path, web, decode=DecodeConfig(quality=80)))
    assert tars(tmp_path / "d") == before


def test_bad_candidates_leave_no_dataset_behind(tmp_path: Path, web) -> None:
    (tmp_path / "c").mkdir()
    pq.write_table(pa.table({"URL": ["http://a"]}), tmp_path / "c" / "part-00000.parquet")
    with pytest.raises(UserError, match="lacks the columns"):
        build_dataset(config_for(tmp_path, web))
    assert not (tmp_path / "d").exists()


def test_an_unwritable_dataset_folder_is_the_users_mistake(tmp_path: Path, web) -> None:
    write_candidates(tmp_path, web, range(4))
    (tmp_path / "d").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot write to"):
        build_dataset(config_for(tmp_path, web))


def command(folder: Path, web, *flags: str) -> list[str]:
    return [
        sys.executable, "-m", "diagonal_data.shards", "web",
        "--candidates", str(folder / "c"), "--dataset", str(folder / "d"),
        "--image-size", "32", "--samples-per-shard", "4", "--workers", "2",
        "--allow-hosts", web.host, *flags,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--candidates", "absent"], "no file matches 'absent'"),
        (["--samples-per-shard", "0"], "--samples-per-shard must be at least 1"),
        (["--image-sizes", "3"], "--image-size"),
    ],
)
def test_a_users_mistake_ends_with_code_2_and_one_message(
    tmp_path: Path,
    web,
    flags: list[str],
    message: str,
) -> None:
    write_candidates(tmp_path, web, range(2))
    done = subprocess.run(
        command(tmp_path, web, *flags), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "d").exists()


def descendants(pid: int) -> list[int]:
    """The process and everything below it, by /proc."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        parents.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        waiting.extend(parents.get(found[-1], []))
    return found


@pytest.mark.ray
@pytest.mark.parametrize("flags", [[], ["--local"]], ids=["ray", "local"])
def test_kill_9_of_the_whole_tree_then_a_rerun_gives_the_same_bytes(
    tmp_path: Path, web, flags: list[str]
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
        write_candidates(folder, web, range(COUNT))
    subprocess.run(command(whole, web, "--local"), check=True, capture_output=True)
    # The third shard cannot be finished before the kill: one of its pictures is not answered.
    web.asked, web.held = [], {"/9.jpg": threading.Event()}
    process = subprocess.Popen(
        command(killed, web, *flags), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while len(finished_shards(killed)) < 2 or "/9.jpg" not in web.asked:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline, "no shard in a minute"
        time.sleep(0.005)  # the poll interval, not a wait for luck
    for pid in descendants(process.pid):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    assert "00000002" not in finished_shards(killed)
    web.held.pop("/9.jpg").set()
    subprocess.run(command(killed, web, *flags), check=True, capture_output=True)
    assert tars(killed / "d") == tars(whole / "d")
    sums = [
        [shard["sha256"] for shard in read_manifest(str(folder / "d"))["shards"]]
        for folder in (whole, killed)
    ]
    assert sums[0] == sums[1]
    assert not list((killed / "d").rglob("*partial*"))


def finished_shards(folder: Path) -> set[str]:
    return {path.name[:8] for path in (folder / "d").glob("shards/*_stats.json")}


def test_what_is_not_there_at_the_units_deadline_is_a_counted_reason(tmp_path: Path, web) -> None:
    write_candidates(tmp_path, web, range(4))
    web.held = {"/2.jpg": threading.Event()}
    funnel = build_dataset(config_for(tmp_path, web, unit_deadline_seconds=0.5))
    web.held["/2.jpg"].set()
    assert (funnel.kept, funnel.reasons) == (3, {"unit_timed_out": 1})


def test_finished_shards_are_in_the_manifest_though_others_failed(tmp_path: Path, web) -> None:
    write_candidates(tmp_path, web, range(8))
    # A folder in the place of the second shard's tar: that shard cannot be written.
    (tmp_path / "d" / "shards" / "00000001.tar" / "x").mkdir(parents=True)
    with pytest.raises(UnitError, match="1 of 2 units failed 3 times: 00000001;"):
        build_dataset(config_for(tmp_path, web))
    shards = read_manifest(str(tmp_path / "d"))["shards"]
    assert [shard["name"] for shard in shards] == ["00000000"]
    shutil.rmtree(tmp_path / "d" / "shards" / "00000001.tar")
    assert build_dataset(config_for(tmp_path, web)).kept == 8


def test_a_second_run_into_the_same_dataset_is_refused(tmp_path: Path, web) -> None:
    write_candidates(tmp_path, web, range(4))
    (tmp_path / "d").mkdir()
    with storage.sole_writer(str(tmp_path / "d")), pytest.raises(UserError, match="another run"):
        build_dataset(config_for(tmp_path, web))


def test_without_a_contact_nobody_elses_servers_are_asked(tmp_path: Path, web) -> None:
    others = [candidate_for(f"http://site-{i}.example/cat.jpg", "cat") for i in range(3)]
    (tmp_path / "c").mkdir()
    pq.write_table(candidates_table(others), tmp_path / "c" / "part-00000.parquet")
    with pytest.raises(UserError, match=r"--fetch\.contact"):
        build_dataset(config_for(tmp_path, web))
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    ("engine", "samples", "units"),
    [("native", 500, 4), ("native", 6_000, 3), ("native", 50_000, 2), ("img2dataset", 500, 1)],
)
def test_a_worker_has_more_small_units_at_a_time(engine, samples: int, units: int) -> None:
    config = ShardsConfig(candidates="c", dataset="d", engine=engine, samples_per_shard=samples)
    assert units_at_once(config) == units


def test_the_pace_is_of_this_run() -> None:
    pace = Pace(started=10.0)
    assert pace.at(10.0) == "img/s=0.0 kept=0.0% MB/s=0.0"
    pace.add(ShardInfo(name="0", candidates=40, samples=30, bytes=4_000_000, sha256=""))
    assert pace.at(12.0) == "img/s=15.0 kept=75.0% MB/s=2.0"


def test_metrics_are_served_while_the_command_runs_and_not_after(tmp_path: Path, web) -> None:
    write_candidates(tmp_path, web, [0, 1, 2, 3, 4, 99, 5, 6])
    web.held = {"/5.jpg": threading.Event()}
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = config_for(tmp_path, web, metrics_port=port)

    def served() -> None:
        with serving_stage(config, "shards"):
            build_dataset(config)

    build = threading.Thread(target=served)
    build.start()
    try:
        deadline = time.monotonic() + 60
        while "/5.jpg" not in web.asked:
            assert time.monotonic() < deadline
            time.sleep(0.005)  # the poll interval, not a wait for luck
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            text = answer.read().decode()
    finally:
        web.held.pop("/5.jpg").set()
        build.join()
    assert 'diagonal_shards_candidates_total{reason="kept"} 4.0' in text
    assert "diagonal_shards_finished_total 1.0" in text
    assert 'diagonal_stage_done_units_total{part="shards",stage="shards"} 1.0' in text
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics")


def test_a_null_url_ends_as_a_row(tmp_path: Path, web) -> None:
    write_candidates(tmp_path, web, range(2))
    path = tmp_path / "c" / "part-00000.parquet"
    table = pq.read_table(path)
    urls = pa.array([None, table["url"][1].as_py()])
    pq.write_table(table.set_column(1, "url", urls), path)
    assert build_dataset(config_for(tmp_path, web)).reasons == {"bad_url": 1}
