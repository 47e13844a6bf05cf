"""What a stream sees of a takedown: at once when it is opened, and while it is open."""

from pathlib import Path

import pytest

from diagonal_data.takedown.compact import compact
from diagonal_data.takedown.config import CompactConfig, TakedownConfig
from diagonal_data.takedown.requests import take_down
from diagonal_train.stream import StreamConfig, open_stream
from diagonal_train.streaming.index import open_index
from diagonal_train.streaming.lanes import LaneStream
from diagonal_train.streaming.tokenize import ClipTokenizer


@pytest.fixture
def config(own_dataset: Path, tmp_path: Path) -> StreamConfig:
    """One pass over all samples in five batches."""
    cache = str(tmp_path / "cache")
    return StreamConfig(
        data=str(own_dataset),
        global_batch_size=24,
        lanes=8,
        window=5,
        image_size=16,
        index_cache=cache,
    )


def opened(config: StreamConfig) -> LaneStream:
    index, plan = open_stream(config)
    return LaneStream(
        index=index,
        plan=plan,
        tokenizer=ClipTokenizer(config.context_length),
        config=config,
        lanes=range(config.lanes),
        first_batch=0,
        last_batch=5,
    )


def seen(stream: LaneStream) -> tuple[set[str], int]:
    """Uids of a pass, and how many samples another was taken for."""
    batches = list(stream.batches(stream.lanes))
    replaced = sum(batch.replaced.total() for batch in batches)
    return {uid for batch in batches for uid in batch.uids}, replaced


def test_an_open_stream_goes_on_and_a_new_one_is_without(
    config: StreamConfig, uids: list[str]
) -> None:
    before = open_index(config.data, None, cache=config.index_cache)
    stream = opened(config)
    gone = {uids[3], uids[50], uids[51]}
    take_down(TakedownConfig(dataset=config.data, uid=tuple(gone)))
    assert compact(CompactConfig(dataset=config.data)) == 2
    still, replaced = seen(stream)
    assert replaced == 3
    assert still == set(uids) - gone
    index = open_index(config.data, None, cache=config.index_cache)
    assert len(index) == len(uids) - 3
    assert index.digest != before.digest
    later, replaced = seen(opened(config))
    assert replaced == 0
    assert not later & gone
