import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from diagonal_train.stream import StreamConfig, dataloader
from diagonal_train.streaming.batch import Batch
from diagonal_train.streaming.schedule import check_steps, value_at
from diagonal_train.streaming.tokenize import ClipTokenizer, cut_captions

CAPTIONS = ["", "a", "wow!!", "a red circle", "! !a !b c d e f g h", "word " * 40]


@pytest.fixture
def config(dataset: Path, tmp_path: Path) -> StreamConfig:
    """Batches of 16: two of 16 pixels and 4 tokens, two of 24 and 6, then 32 and 12."""
    return StreamConfig(
        data=str(dataset),
        global_batch_size=16,
        lanes=8,
        window=4,
        image_size=32,
        context_length=12,
        image_sizes=((0, 16), (32, 24), (50, 32)),
        context_lengths=((0, 4), (32, 6), (50, 12)),
        index_cache=str(tmp_path / "index"),
    )


def read(config: StreamConfig, *, workers: int = 0, first: int = 0) -> Iterator[Batch]:
    loader = dataloader(config, num_workers=workers, samples_seen=16 * first)
    return loader.take(6 - first)


def test_a_value_holds_from_its_step_on() -> None:
    steps = ((0, 112), (100, 168), (200, 224))
    values = [value_at(steps, seen, 0) for seen in (0, 99, 100, 199, 200, 10**12)]
    assert values == [112, 112, 168, 168, 224, 224]
    assert value_at((), 5, 224) == 224


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (((10, 112),), r"--x starts with the value from 0 samples on, got \[10\]"),
        (((0, 112), (9, 168), (9, 224)), r"--x has steps at \[0, 9, 9\] samples, which must rise"),
        (((0, 112), (9, 225)), "--x has 225, which is not in 1–224"),
        (((0, 0),), "--x has 0, which is not in 1–224"),
    ],
)
def test_steps_that_cannot_be_are_refused(steps: tuple[tuple[int, int], ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_steps(steps, least=1, most=224, flag="--x")


def test_every_batch_has_the_size_of_the_samples_before_it(config: StreamConfig) -> None:
    sizes = [batch.images.shape for batch in read(config)]
    # Samples 48 to 63 are one batch, begun before the step at 50.
    assert [size[-1] for size in sizes] == [16, 16, 24, 24, 32, 32]
    assert {size[:2] for size in sizes} == {(16, 3)}


def test_images_are_those_of_a_stream_of_that_size(config: StreamConfig) -> None:
    small = dataclasses.replace(config, image_size=24, image_sizes=())
    expected = list(read(small))
    for index, batch in enumerate(read(config)):
        assert batch.uids == expected[index].uids
        if batch.images.shape[-1] == 24:
            assert torch.equal(batch.images, expected[index].images)


def test_captions_are_cut_and_rows_stay(config: StreamConfig) -> None:
    whole = list(read(dataclasses.replace(config, context_lengths=())))
    for index, batch in enumerate(read(config)):
        length = (4, 4, 6, 6, 12, 12)[index]
        assert batch.tokens.shape == (16, 12)
        assert torch.equal(batch.tokens, cut_captions(whole[index].tokens, length))
        assert bool((batch.tokens[:, length:] == 0).all())


@pytest.mark.parametrize("length", [2, 3, 5, 12])
def test_a_cut_row_is_that_of_a_shorter_context(length: int) -> None:
    cut_BT = cut_captions(ClipTokenizer(12)(CAPTIONS), length)
    assert torch.equal(cut_BT[:, :length], ClipTokenizer(length)(CAPTIONS))
    assert not cut_BT[:, length:].any()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("first", [0, 1, 3])
def test_processes_and_resuming_change_nothing(
    config: StreamConfig, workers: int, first: int
) -> None:
    expected = list(read(config))[first:]
    found = list(read(config, workers=workers, first=first))
    assert len(found) == len(expected)
    for left, right in zip(found, expected, strict=True):
        assert left.uids == right.uids
        assert torch.equal(left.images, right.images)
        assert torch.equal(left.tokens, right.tokens)
