import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from diagonal_infra.errors import DiagonalError
from diagonal_train.config.train import TrainConfig
from diagonal_train.encoders.models import build_tokenizer
from diagonal_train.stream import open_stream, read_batches
from diagonal_train.streaming import samples
from diagonal_train.streaming.batch import Batch, concatenate
from diagonal_train.streaming.config import lanes_of
from diagonal_train.streaming.index import open_index
from diagonal_train.streaming.lanes import LaneStream

Build = Callable[..., TrainConfig]


def read(
    config: TrainConfig, *, rank: int = 0, ranks: int = 1, workers: int = 0, first: int = 0
) -> Iterator[Batch]:
    index, plan = open_stream(config.stream_config)
    stream = LaneStream(
        index=index,
        plan=plan,
        tokenizer=build_tokenizer(config.model),
        config=config.stream_config,
        lanes=lanes_of(config.stream.lanes, part=rank, parts=ranks),
        first_batch=first,
        last_batch=6,
    )
    return read_batches(stream, workers)


def whole_passes(tiny: Build, dataset: Path) -> TrainConfig:
    """Every sample once per batch: 120 samples are 3 rounds of 8 lanes and 5 positions."""
    stream = dataclasses.replace(tiny().stream, window=5, max_replaced=0.5)
    return tiny(data=str(dataset), filter=None, global_batch_size=120, stream=stream)


def assert_same(left: Batch, right: Batch) -> None:
    assert left.uids == right.uids
    assert torch.equal(left.images, right.images)
    assert torch.equal(left.tokens, right.tokens)
    assert torch.equal(left.noise, right.noise)


def test_a_batch_has_the_shapes_and_types_it_promises(tiny: Build) -> None:
    batch = next(read(tiny()))
    assert batch.images.shape == (16, 3, 32, 32)
    assert batch.images.dtype == torch.uint8
    assert batch.tokens.shape == (16, 12)
    assert batch.noise.dtype == torch.float32
    assert len(set(batch.uids)) == 16


def test_workers_change_nothing(tiny: Build) -> None:
    config = tiny()
    pairs = zip(read(config), read(config, workers=2), strict=True)
    assert [assert_same(alone, shared) for alone, shared in pairs] == [None] * 6


def test_ranks_divide_the_same_batches(tiny: Build) -> None:
    config = tiny()
    ranks = [list(read(config, rank=rank, ranks=4)) for rank in range(4)]
    for step, whole in enumerate(read(config)):
        assert_same(concatenate([rank[step] for rank in ranks]), whole)


def test_a_stream_goes_on_at_any_batch(tiny: Build) -> None:
    config = tiny()
    whole = list(read(config))
    for step, batch in enumerate(read(config, first=4)):
        assert_same(batch, whole[4 + step])


def test_a_sample_is_cropped_otherwise_when_it_comes_again(tiny: Build, own_dataset: Path) -> None:
    config = whole_passes(tiny, own_dataset)
    first, second = list(read(config))[:2]
    assert set(first.uids) == set(second.uids)
    other = second.images[second.uids.index(first.uids[0])]
    assert not torch.equal(first.images[0], other)


@pytest.mark.parametrize(
    ("place", "content", "cause"),
    [(600, b"no jpeg", "decode_failed"), (257, b"broken", "tar_broken")],
)
def test_a_bad_sample_is_replaced_by_the_next_and_counted(
    tiny: Build, own_dataset: Path, uids: list[str], place: int, content: bytes, cause: str
) -> None:
    index = open_index(str(own_dataset), None)
    with Path(index.shards[0].path).open("r+b") as file:
        file.seek(int(index.offset[10]) + place)
        file.write(content)
    config = whole_passes(tiny, own_dataset)
    batch = next(read(config))
    assert batch.replaced == {cause: 1}
    assert uids[10] not in batch.uids
    assert batch.uids.count(uids[11]) == 2


def test_a_shard_cut_short_is_not_the_indexed_one_and_is_replaced(
    tiny: Build, own_dataset: Path
) -> None:
    index = open_index(str(own_dataset), None)
    with Path(index.shards[2].path).open("r+b") as file:
        file.truncate(int(index.offset[-2]) + 100)
    config = whole_passes(tiny, own_dataset)
    assert next(read(config)).replaced == {"shard_changed": 37}


def without_shards(tiny: Build, own_dataset: Path, *names: str) -> TrainConfig:
    """Batches of all 120 samples of a dataset that has lost shards."""
    for name in names:
        (own_dataset / "shards" / f"{name}.tar").unlink()
    return whole_passes(tiny, own_dataset)


def test_a_lost_shard_is_replaced_from_all_the_others(
    tiny: Build,
    own_dataset: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Shard 1 has 38 samples: its first has no good neighbour among so few.
    monkeypatch.setattr(samples, "MAX_REPLACEMENTS", 30)
    config = without_shards(tiny, own_dataset, "00000001")
    first, again = next(read(config)), next(read(config))
    assert_same(first, again)
    assert first.replaced == {"read_failed": 38}
    index = open_index(str(own_dataset), None)
    good = set(index.uids(np.flatnonzero(index.shard != 1)))
    assert set(first.uids) == good
    assert "00000001.tar cause=read_failed" in caplog.text
    assert caplog.text.count("replacing samples") == 2


def test_workers_replace_a_lost_shard_alike(tiny: Build, own_dataset: Path) -> None:
    config = without_shards(tiny, own_dataset, "00000001")
    assert_same(next(read(config)), next(read(config, workers=2)))


def test_too_large_a_share_of_bad_samples_stops_with_the_shard(
    tiny: Build, own_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "MIN_SAMPLES_FOR_SHARE", 200)
    config = without_shards(tiny, own_dataset, "00000000", "00000001")
    parts = read(config)
    assert next(parts).replaced.total() == 83
    with pytest.raises(DiagonalError, match=r"1\d\d of 200 .* \d+ of them in .*00000000\.tar"):
        next(parts)


def test_a_dataset_without_a_good_sample_stops_with_its_path(
    tiny: Build, own_dataset: Path
) -> None:
    for path in (own_dataset / "shards").glob("*.tar"):
        path.write_bytes(b"")
    with pytest.raises(DiagonalError, match=r"65 samples in a row.*\.tar.*shard_changed"):
        next(read(tiny(data=str(own_dataset))))
