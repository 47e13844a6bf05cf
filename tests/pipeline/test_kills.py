"""Killed at any instant and run again, a dataset is what it would have been."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.hostile_server import Behaviour, HostileServer, answer

from diagonal_data.config import ShardsConfig
from diagonal_data.fetch_config import FetchConfig
from diagonal_data.schema import candidate_for, candidates_table
from diagonal_data.shards import build_dataset

SAMPLES = 160
KILLS = 20
LONGEST_LIFE_SECONDS = 2.5
"""A run from nothing takes longer, so that most kills meet it at work, and some at its start."""


@pytest.fixture
def web(server: HostileServer, make_jpeg) -> HostileServer:
    """Pictures that take a moment, one of them missing and one broken."""

    def picture(seed: int) -> Behaviour:
        body = answer(make_jpeg(seed, (60, 48)))

        async def behave(writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.03)
            writer.write(body)
            await writer.drain()

        return behave

    for i in range(SAMPLES):
        server.routes[f"/{i}.jpg"] = picture(i)
    server.routes["/7.jpg"] = answer(b"no picture")
    del server.routes["/9.jpg"]
    return server


def write_candidates(folder: Path, web: HostileServer) -> str:
    rows = [candidate_for(web.url(f"/{i}.jpg"), f"picture {i}") for i in range(SAMPLES)]
    pq.write_table(candidates_table(rows), folder / "c.parquet")
    return str(folder / "c.parquet")


def built(candidates: str, dataset: Path, web: HostileServer) -> Path:
    """The dataset of a run that nothing happened to."""
    build_dataset(
        ShardsConfig(
            candidates=candidates,
            dataset=str(dataset),
            image_size=32,
            samples_per_shard=8,
            local=True,
            allow_hosts=(web.host,),
            fetch=FetchConfig(max_per_host=64),
        )
    )
    return dataset


def tars(dataset: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in dataset.glob("shards/*.tar")}


def rows(dataset: Path) -> pa.Table:
    """All row tables; times are the only thing in them that may differ."""
    paths = sorted(dataset.glob("shards/*.parquet"))
    return pa.concat_tables(map(pq.read_table, paths)).drop_columns("fetch_ms")


def command_of(candidates: str, dataset: Path, web: HostileServer) -> list[str]:
    return [
        *(sys.executable, "-m", "diagonal_data.shards", "web", "--local"),
        *("--candidates", candidates, "--dataset", str(dataset), "--image-size", "32"),
        *("--samples-per-shard", "8", "--allow-hosts", web.host, "--fetch.max-per-host", "2"),
    ]


def live_and_die(command: list[str], seconds: float) -> int:
    """Start the command and kill it after so long; its exit code."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def test_twenty_kills_change_nothing(tmp_path: Path, web: HostileServer) -> None:
    candidates = write_candidates(tmp_path, web)
    whole = built(candidates, tmp_path / "whole", web)
    rng = random.Random(20)
    kills, datasets = 0, [tmp_path / "0"]
    while kills < KILLS:
        command = command_of(candidates, datasets[-1], web)
        code = live_and_die(command, rng.uniform(0.1, LONGEST_LIFE_SECONDS))
        assert code in (0, -signal.SIGKILL)
        kills += code == -signal.SIGKILL
        if code == 0:
            datasets.append(tmp_path / str(len(datasets)))
    subprocess.run(command_of(candidates, datasets[-1], web), check=True, stdout=-3)
    for dataset in datasets:
        assert tars(dataset) == tars(whole)
        assert rows(dataset).equals(rows(whole))
        assert not list(dataset.rglob("*partial*"))
        assert not list(dataset.glob("units/*"))


@pytest.mark.ray
def test_a_lost_node_costs_no_shard(tmp_path: Path, web: HostileServer) -> None:
    candidates = write_candidates(tmp_path, web)
    whole = built(candidates, tmp_path / "whole", web)
    script = str(Path(__file__).with_name("lost_node.py"))
    # Ray's sockets need a short path.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        done = subprocess.run(
            [sys.executable, script, candidates, str(tmp_path / "lost"), web.host],
            env=os.environ | {"RAY_TMPDIR": folder, "RAY_AUTH_MODE": "disabled"},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert tars(tmp_path / "lost") == tars(whole)
    assert rows(tmp_path / "lost").equals(rows(whole))


@pytest.mark.ray
def test_four_workers_together_keep_a_hosts_limit(tmp_path: Path, web: HostileServer) -> None:
    candidates = write_candidates(tmp_path, web)
    web.most_at_a_time = 0
    funnel = build_dataset(
        ShardsConfig(
            candidates=candidates,
            dataset=str(tmp_path / "d"),
            image_size=32,
            samples_per_shard=20,
            workers=4,
            allow_hosts=(web.host,),
            fetch=FetchConfig(max_per_host=3),
        )
    )
    assert (funnel.input, funnel.kept) == (SAMPLES, SAMPLES - 2)
    assert web.most_at_a_time == 3
    # Each worker process asks for the site's rules itself: several did work.
    assert web.requests.count("/robots.txt") >= 2
