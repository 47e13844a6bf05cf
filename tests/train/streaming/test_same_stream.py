"""One stream however its samples are stored: resharded, behind a bad network, as tars alone."""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.train.streaming.ranged_server import RangedServer

from diagonal_data.reshard.building import reshard
from diagonal_data.reshard.config import ReshardConfig
from diagonal_infra.errors import StorageError
from diagonal_train.stream import StreamConfig, batches, open_stream, read_batches
from diagonal_train.streaming.batch import Batch
from diagonal_train.streaming.index import ShardFile
from diagonal_train.streaming.lanes import LaneStream
from diagonal_train.streaming.tokenize import ClipTokenizer

Config = Callable[..., StreamConfig]
TROUBLE = [("drop", 700), ("status", 503), ("cut", 20), ("short", 999), ("busy", 0)]


@pytest.fixture
def config(own_dataset: Path) -> Config:
    """Makes a stream of the coloured shapes; arguments replace fields."""
    fields: dict[str, Any] = {"data": str(own_dataset), "global_batch_size": 16, "lanes": 8}
    fields |= {"window": 6, "image_size": 16}
    return lambda **changes: StreamConfig(**fields | changes)


def uids_of(config: StreamConfig, steps: int = 50) -> list[list[str]]:
    return [batch.uids for batch in itertools.islice(batches(config), steps)]


@pytest.mark.parametrize("samples_per_shard", [7, 1000])
def test_a_filtered_stream_is_that_of_the_resharded_dataset(
    config: Config, own_dataset: Path, tmp_path: Path, samples_per_shard: int
) -> None:
    path = own_dataset / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"settings": {}}))
    smaller = str(tmp_path / "smaller")
    reshard(
        ReshardConfig(
            dataset=str(own_dataset),
            filter="most",
            output=smaller,
            samples_per_shard=samples_per_shard,
            local=True,
        )
    )
    assert uids_of(config(data=smaller)) == uids_of(config(filter="most"))


def test_a_shuffled_copy_has_the_samples_of_the_filtered_stream(
    config: Config, own_dataset: Path, tmp_path: Path
) -> None:
    path = own_dataset / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"settings": {}}))
    copies = []
    for name, seed in (("plain", None), ("shuffled", 7)):
        output = str(tmp_path / name)
        shape = ReshardConfig(
            dataset=str(own_dataset),
            filter="most",
            output=output,
            samples_per_shard=10,
            seed=seed,
            local=True,
        )
        reshard(shape)
        copies.append(content_by_uid(config(data=output)))
    assert copies[0] == copies[1] == content_by_uid(config(filter="most"))
    assert len(copies[0]) == 96


def content_by_uid(config: StreamConfig) -> dict[str, str]:
    """Of every sample of the index: uid and bytes, which are those of its tar."""
    index, _ = open_stream(config)
    found = {}
    for place, uid in enumerate(index.uids(np.arange(len(index)))):
        shard = Path(index.shards[int(index.shard[place])].path).read_bytes()
        begin, length = int(index.offset[place]), int(index.length[place])
        found[uid] = hashlib.sha256(shard[begin : begin + length]).hexdigest()
    return found


def test_tars_give_the_stream_of_their_dataset_folder(config: Config, own_dataset: Path) -> None:
    pattern = str(own_dataset / "shards" / "{00000000..00000002}.tar")
    folder = list(itertools.islice(batches(config()), 10))
    tars = list(itertools.islice(batches(config(data=pattern)), 10))
    for left, right in zip(folder, tars, strict=True):
        assert torch.equal(left.images, right.images)
        assert torch.equal(left.tokens, right.tokens)


def remote(config: StreamConfig, store: RangedServer) -> LaneStream:
    """The stream with its shards on the server."""
    index, plan = open_stream(config)
    moved = []
    for shard in index.shards:
        name = f"/{Path(shard.path).name}"
        store.files[name] = Path(shard.path).read_bytes()
        moved.append(ShardFile(path=store.endpoint + name, size=shard.size, mark="one"))
    return LaneStream(
        index=dataclasses.replace(index, shards=moved),
        plan=plan,
        tokenizer=ClipTokenizer(config.context_length),
        config=config,
        lanes=range(config.lanes),
        first_batch=0,
        last_batch=12,
    )


def assert_same(left: Batch, right: Batch) -> None:
    assert left.uids == right.uids
    assert torch.equal(left.images, right.images)
    assert torch.equal(left.tokens, right.tokens)
    assert not right.replaced


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_network_changes_nothing(
    config: Config, store: RangedServer, tmp_path: Path, workers: int
) -> None:
    patient = config(timeout_seconds=5, deadline_seconds=60, window_cache=str(tmp_path / "cache"))
    store.next.extend(TROUBLE * 6)
    local = list(itertools.islice(batches(config()), 12))
    found = list(read_batches(remote(patient, store), workers))
    assert not store.next
    for left, right in zip(local, found, strict=True):
        assert_same(left, right)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_store_that_stays_silent_ends_the_stream_with_its_name(
    config: Config, store: RangedServer, workers: int
) -> None:
    hasty = config(timeout_seconds=0.2, deadline_seconds=0.5)
    stream = remote(hasty, store)
    store.always = ("stall", 3)
    with pytest.raises(StorageError, match=rf"{store.endpoint}/0000000\d\.tar"):
        next(read_batches(stream, workers))
