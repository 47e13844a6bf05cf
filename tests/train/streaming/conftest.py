"""A store of shards that misbehaves, reached over HTTP and as S3."""

import copy
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec.config
import numpy as np
import pytest
from tests.train.streaming.ranged_server import RangedServer
from tests.train.streaming.samples import CONFIG, SAMPLE

from diagonal_infra import object_store
from diagonal_train.streaming.index import ShardFile
from diagonal_train.streaming.reader import ShardReader

NAME = "/pictures/00000.tar"


@pytest.fixture(scope="module")
def ranged_server() -> Iterator[RangedServer]:
    server = RangedServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def store(ranged_server: RangedServer) -> Iterator[RangedServer]:
    """Holds one file of 300 000 random bytes."""
    ranged_server.reset()
    ranged_server.files[NAME] = np.random.default_rng(0).bytes(300_000)
    yield ranged_server
    ranged_server.reset()


@pytest.fixture(params=["http", "s3"])
def path(
    request: pytest.FixtureRequest, store: RangedServer, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The file's name in each protocol."""
    if request.param == "http":
        return store.endpoint + NAME
    settings = {"endpoint_url": store.endpoint, "key": "key", "secret": "secret"}
    monkeypatch.setitem(
        fsspec.config.conf, "s3", copy.deepcopy(object_store.SETTINGS["s3"]) | settings
    )
    return "s3:/" + NAME


@pytest.fixture
def content(store: RangedServer) -> bytes:
    """The file's bytes."""
    return store.files[NAME]


@pytest.fixture
def shard(path: str, content: bytes) -> ShardFile:
    """The file as an index knows it."""
    return ShardFile(path=path, size=len(content), mark="one")


@pytest.fixture
def make_reader() -> Iterator[Any]:
    """`make_reader(shards, **config)` → a reader that is closed after the test."""
    made: list[ShardReader] = []

    def make(shards: list[ShardFile], **changed: object) -> ShardReader:
        made.append(ShardReader(shards, dataclasses.replace(CONFIG, **changed)))
        return made[-1]

    yield make
    for reader in made:
        reader.close()


@pytest.fixture
def local(tmp_path: Path) -> ShardFile:
    """A shard on the disk, of 30 samples."""
    path = tmp_path / "0.tar"
    path.write_bytes(np.random.default_rng(0).bytes(30 * SAMPLE))
    stat = path.stat()
    mark = f"{stat.st_size}-{stat.st_mtime_ns}"
    return ShardFile(path=str(path), size=stat.st_size, mark=mark)
