"""A dataset of coloured shapes, small enough to build for every test run.

DATASET/shards/0000000{0,1,2}.tar + .parquet    64 px JPEGs, one failed row per shard
DATASET/filters/most/keep.npy                   all but every fifth sample
"""

import dataclasses
import hashlib
import io
import itertools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image, ImageDraw

from diagonal_data.filters.keep_list import filter_folder, write_keep_list
from diagonal_data.schema import ROW_SCHEMA, uid_for
from diagonal_data.tar import Sample, TarWriter
from diagonal_train.config.reinforce import ReinforceConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World
from diagonal_train.loop import train
from diagonal_train.recipes import TRAIN
from diagonal_train.reinforce import reinforce

COLOURS = ("red", "green", "blue", "orange", "purple", "black", "gold", "teal")
SHAPES = ("circle", "square", "triangle", "cross", "ring")
SHARD_SIZES = (45, 38, 37)

torch.set_num_threads(1)


def draw(colour: str, shape: str, seed: int) -> bytes:
    """A JPEG of one shape at a random place."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (64, 64), "white")
    pen = ImageDraw.Draw(image)
    x, y, r = (int(v) for v in (*rng.integers(22, 42, 2), rng.integers(12, 20)))
    box = (x - r, y - r, x + r, y + r)
    if shape == "circle":
        pen.ellipse(box, fill=colour)
    elif shape == "square":
        pen.rectangle(box, fill=colour)
    elif shape == "triangle":
        pen.polygon([(x - r, y + r), (x + r, y + r), (x, y - r)], fill=colour)
    elif shape == "ring":
        pen.ellipse(box, outline=colour, width=5)
    else:
        pen.line((x - r, y, x + r, y), fill=colour, width=6)
        pen.line((x, y - r, x, y + r), fill=colour, width=6)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def write_dataset(folder: Path) -> list[str]:
    """The dataset in `folder`; returns the uids in order."""
    (folder / "shards").mkdir(parents=True)
    pairs = itertools.cycle(itertools.product(COLOURS, SHAPES))
    uids: list[str] = []
    shards = []
    for number, size in enumerate(SHARD_SIZES):
        name = f"{number:08d}"
        rows = [failed_row(name)]
        path = folder / "shards" / f"{name}.tar"
        with path.open("wb") as file:
            writer = TarWriter(file)
            for i in range(size):
                colour, shape = next(pairs)
                row = add_sample(writer, f"{number:04d}{i:05d}", colour, shape, len(uids))
                rows.append(row)
                uids.append(row["uid"])
            writer.close()
        pq.write_table(pa.Table.from_pylist(rows, ROW_SCHEMA), path.with_suffix(".parquet"))
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        shards.append({"name": name, "samples": size, "bytes": len(content), "sha256": digest})
    (folder / "manifest.json").write_text(json.dumps({"schema_version": 1, "shards": shards}))
    write_keep_list(keep_path(folder, "most"), [uid for i, uid in enumerate(uids) if i % 5])
    return uids


def add_sample(writer: TarWriter, key: str, colour: str, shape: str, seed: int) -> dict[str, Any]:
    """Append one sample; returns its row."""
    caption, url = f"a {colour} {shape}", f"http://127.0.0.1/{key}.png"
    uid = uid_for(url, caption)
    members = {
        "jpg": draw(colour, shape, seed),
        "txt": caption.encode(),
        "json": json.dumps({"uid": uid}).encode(),
    }
    extent = writer.add(Sample(key=key, members=members))
    place = {"tar_offset": extent.offset, "tar_bytes": extent.length}
    return {"uid": uid, "url": url, "caption": caption, "key": key, "status": "success", **place}


def failed_row(name: str) -> dict[str, Any]:
    """A candidate that became no sample."""
    url = f"http://127.0.0.1/{name}/missing.png"
    known = {"uid": uid_for(url, "x"), "url": url, "caption": "x"}
    return {**known, "status": "failed", "reason": "not_found"}


def keep_path(folder: Path, name: str) -> str:
    """Where a filter's keep list lies."""
    return f"{filter_folder(str(folder), name)}/keep.npy"


def start_ranks(arguments: list[str], world_size: int) -> list[subprocess.Popen[str]]:
    """Python with these arguments as `world_size` ranks, in torchrun's environment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, *arguments],
            env={
                **os.environ,
                **shared,
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(world_size),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world_size)
    ]


@pytest.fixture(scope="session")
def run_ranks() -> Callable[..., None]:
    """A function that runs Python as several ranks and waits for them to succeed."""

    def run(arguments: list[str], world_size: int) -> None:
        ranks = start_ranks(arguments, world_size)
        errors = [rank.communicate(timeout=280)[1] for rank in ranks]
        assert [rank.returncode for rank in ranks] == [0] * world_size, errors

    return run


@pytest.fixture(scope="session", name="start_ranks")
def ranks_fixture() -> Callable[[list[str], int], list[subprocess.Popen[str]]]:
    """The function `start_ranks`."""
    return start_ranks


@pytest.fixture(scope="session")
def starting_ranks() -> Callable[[list[str], int], list[subprocess.Popen[str]]]:
    """A function that starts Python as several ranks and does not wait."""
    return start_ranks


@pytest.fixture(scope="session")
def start_process() -> Callable[[list[str]], subprocess.Popen[str]]:
    """A function that starts Python as the only rank and does not wait."""
    return lambda arguments: start_ranks(arguments, 1)[0]


@pytest.fixture(scope="session")
def read_metrics() -> Callable[[Path | str], list[dict[str, Any]]]:
    """A function that reads the lines of a run's metrics.jsonl."""

    def read(run: Path | str) -> list[dict[str, Any]]:
        path = Path(run) / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]

    return read


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset; not to be written to."""
    folder = tmp_path_factory.mktemp("dataset") / "d"
    write_dataset(folder)
    return folder


@pytest.fixture
def own_dataset(tmp_path: Path) -> Path:
    """A dataset that the test may damage."""
    folder = tmp_path / "d"
    write_dataset(folder)
    return folder


@pytest.fixture
def keep(own_dataset: Path) -> Callable[[str, list[str]], None]:
    """A function that writes a keep list of uids, repetitions kept, into `own_dataset`."""
    return lambda name, uids: write_keep_list(keep_path(own_dataset, name), uids)


@pytest.fixture(scope="session")
def uids(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The uids of the dataset, in order."""
    return write_dataset(tmp_path_factory.mktemp("uids") / "d")


@pytest.fixture
def tiny(dataset: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    """The recipe `tiny` on the dataset, into the test's own run; arguments replace fields."""

    def build(**changes: Any) -> TrainConfig:
        places = {"data": str(dataset), "filter": "most", "run": str(tmp_path / "run")}
        return dataclasses.replace(TRAIN["tiny"](), **{**places, **changes})

    return build


@pytest.fixture(scope="session")
def finished_run(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """The recipe `tiny`, trained to the end in one process; not to be written to."""
    run = str(tmp_path_factory.mktemp("finished") / "run")
    config = dataclasses.replace(TRAIN["tiny"](), data=str(dataset), filter="most", run=run)
    train(config, World())
    return config


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 kB that really is full when it is."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a disk")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.fixture
def fill() -> Callable[[Path], Path]:
    """A function that leaves no byte on a disk; returns the file that has them all."""

    def write(disk: Path) -> Path:
        path = disk / "filler"
        with path.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        return path

    return write


@pytest.fixture(scope="session")
def jpeg() -> bytes:
    """One picture of the kind the dataset holds."""
    return draw("red", "circle", 0)


@pytest.fixture(scope="session")
def reinforced(
    dataset: Path, finished_run: TrainConfig, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The dataset with the finished run's embeddings; not to be written to."""
    folder = tmp_path_factory.mktemp("reinforced") / "d"
    reinforce(ReinforceConfig(dataset=str(dataset), teacher=finished_run.run, output=str(folder)))
    return folder
