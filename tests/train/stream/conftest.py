"""A store of shards that misbehaves, reached over HTTP and as S3."""

from collections.abc import Iterator

import fsspec.config
import numpy as np
import pytest
from tests.train.stream.ranged_server import RangedServer

from diagonal_infra import object_store
from diagonal_train.stream.index import ShardFile

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
    monkeypatch.setitem(fsspec.config.conf, "s3", object_store.SETTINGS["s3"] | settings)
    return "s3:/" + NAME


@pytest.fixture
def content(store: RangedServer) -> bytes:
    """The file's bytes."""
    return store.files[NAME]


@pytest.fixture
def shard(path: str, content: bytes) -> ShardFile:
    """The file as an index knows it."""
    return ShardFile(path=path, size=len(content), mark="one")
