"""The promises of the loader: one order for every division, exact resume, a state to save."""

import dataclasses
import itertools
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from diagonal_data.filters.keep_list import filter_folder
from diagonal_infra.errors import UserError
from diagonal_train.stream import StreamConfig, batches, dataloader, raw_batches

STEPS = 50
Config = Callable[..., StreamConfig]


@pytest.fixture
def config(dataset: Path, tmp_path: Path) -> Config:
    """Makes a stream of the coloured shapes; arguments replace fields."""
    fields = {
        "data": str(dataset),
        "global_batch_size": 16,
        "lanes": 16,
        "window": 4,
        "image_size": 16,
        "context_length": 12,
        "num_workers": 0,
        "index_cache": str(tmp_path / "index"),
    }
    return lambda **changes: StreamConfig(**fields | changes)


def global_uids(
    config: StreamConfig, ranks: int, workers: int, *, steps: int = STEPS, seen: int = 0
) -> list[list[str]]:
    """The ordered uids of global batches, read by all workers of all ranks, each in its turn."""
    parts = [
        batches(config, rank, ranks, worker, workers, samples_seen=seen)
        for rank in range(ranks)
        for worker in range(workers)
    ]
    found = [[uid for part in parts for uid in next(part).uids] for _ in range(steps)]
    for part in parts:
        part.close()
    return found


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_every_division_reads_the_same_global_batches(
    config: Config, ranks: int, workers: int
) -> None:
    assert global_uids(config(), ranks, workers) == global_uids(config(), 1, 1)


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("workers", [0, 1, 2, 4])
def test_worker_processes_read_the_same_global_batches(
    config: Config, ranks: int, workers: int
) -> None:
    loaders = [
        dataloader(config(), rank, ranks, num_workers=workers).take(STEPS) for rank in range(ranks)
    ]
    found = [[uid for rank in step for uid in rank.uids] for step in zip(*loaders, strict=True)]
    assert found == global_uids(config(), 1, 1)


def test_pixels_and_tokens_do_not_depend_on_the_division(config: Config) -> None:
    whole = list(itertools.islice(batches(config()), 3))
    loader = dataloader(config(), num_workers=2)
    for alone, shared in zip(whole, loader.take(3), strict=True):
        assert torch.equal(alone.images, shared.images)
        assert torch.equal(alone.tokens, shared.tokens)
        assert torch.equal(alone.noise, shared.noise)


@pytest.mark.parametrize(("ranks", "workers", "stop"), [(4, 1, 7), (1, 2, 23), (2, 4, 49)])
def test_a_stream_goes_on_with_other_ranks_and_workers(
    config: Config, ranks: int, workers: int, stop: int
) -> None:
    whole = global_uids(config(), 2, 2)
    before = global_uids(config(), 2, 2, steps=stop)
    seen = stop * 16
    after = global_uids(config(), ranks, workers, steps=STEPS - stop, seen=seen)
    assert before + after == whole


def test_a_killed_reader_goes_on_where_it_was(config: Config, tmp_path: Path) -> None:
    """kill -9 in mid-stream; what it had printed and what another division reads are the whole."""
    flags = ["--data", config().data, "--global-batch-size", "16", "--lanes", "16", "--window", "4"]
    flags += ["--image-size", "16", "--context-length", "12", "--index-cache", config().index_cache]
    code = (
        "import sys\n"
        "from diagonal_train.stream import StreamConfig, dataloader\n"
        f"config = StreamConfig(data={config().data!r}, global_batch_size=16, lanes=16, window=4,"
        " image_size=16, context_length=12)\n"
        "for batch in dataloader(config, num_workers=2).take(1000):\n"
        "    print(' '.join(batch.uids), flush=True)\n"
    )
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    reader = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert reader.stdout is not None
    before = [reader.stdout.readline().split() for _ in range(11)]
    reader.send_signal(signal.SIGKILL)
    reader.wait()
    reader.stdout.close()
    after = global_uids(config(), 4, 1, steps=9, seen=11 * 16)
    assert before + after == global_uids(config(), 1, 1, steps=20)


def test_every_uid_comes_once_per_pass(config: Config, uids: list[str]) -> None:
    whole = config(global_batch_size=24, lanes=8, window=5)  # 120 samples are 3 rounds
    found = global_uids(whole, 2, 2, steps=15)
    for number in range(3):
        one_pass = itertools.chain(*found[5 * number : 5 * number + 5])
        assert sorted(one_pass) == sorted(uids)


def test_iterating_gives_one_pass_after_the_other(config: Config) -> None:
    loader = dataloader(config())
    assert len(loader) == loader.num_batches == 120 // 16
    assert loader.num_samples == 120
    found = [batch.uids for _ in range(3) for batch in loader]
    assert found == global_uids(config(), 1, 1, steps=21)


def test_a_loaded_state_goes_on_in_mid_pass_with_other_workers(config: Config) -> None:
    loader = dataloader(config())
    first = list(itertools.islice(loader, 3))
    state = loader.state_dict()
    assert state["samples_seen"] == 48
    again = dataloader(config(), num_workers=2)
    again.load_state_dict(state)
    rest = list(again)
    assert [b.uids for b in [*first, *rest]] == global_uids(config(), 1, 1, steps=7)


def test_a_state_of_another_order_is_refused(config: Config) -> None:
    state = dataloader(config()).state_dict()
    with pytest.raises(UserError, match="another seed, batch size or order"):
        dataloader(config(seed=1)).load_state_dict(state)
    dataloader(config(prefetch=5)).load_state_dict(state)


def test_samples_seen_that_are_no_whole_batches_are_refused(config: Config) -> None:
    with pytest.raises(UserError, match="17 is no multiple of the global batch size 16"):
        next(batches(config(), samples_seen=17))


def test_more_readers_than_lanes_are_refused_with_what_fits(config: Config) -> None:
    with pytest.raises(
        UserError, match=r"24 decoding processes .* --lanes 16; use 16 of them, or --lanes 24"
    ):
        dataloader(config(), world_size=3, num_workers=8)


def test_dicts_and_tuples_are_what_other_train_loops_take(config: Config) -> None:
    batch = next(iter(dataloader(config())))
    as_dict = next(iter(dataloader(config(), as_="dict")))
    images, texts = next(iter(dataloader(config(), as_="tuple")))
    assert torch.equal(as_dict["image"], batch.images)
    assert torch.equal(texts, batch.tokens)
    assert images.shape == (16, 3, 16, 16)
    assert as_dict["uid"] == batch.uids


def test_images_are_uint8_with_the_colours_innermost(config: Config) -> None:
    batch = next(batches(config()))
    assert batch.images.dtype == torch.uint8
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert batch.tokens.shape == (16, 12)
    assert set(batch.seconds) == {"order", "read", "decode", "tokenize"}


def test_raw_batches_are_the_bytes_of_the_same_samples(config: Config) -> None:
    raw, batch = next(raw_batches(config())), next(batches(config()))
    assert raw.uids == batch.uids
    assert all(image.startswith(b"\xff\xd8") for image in raw.images)
    assert all(caption.startswith("a ") for caption in raw.captions)


def test_a_filtered_stream_is_the_stream_of_the_kept_samples(
    config: Config, dataset: Path, uids: list[str]
) -> None:
    kept = [uid for i, uid in enumerate(uids) if i % 5]
    assert Path(filter_folder(str(dataset), "most")).is_dir()
    filtered = config(filter="most", global_batch_size=24, lanes=8, window=4)
    found = Counter(itertools.chain(*global_uids(filtered, 1, 1, steps=4)))
    assert found == Counter(kept)


def test_a_mixture_of_two_data_sets_keeps_its_weights(config: Config, dataset: Path) -> None:
    mixed = config(data=f"{dataset}::{dataset}", weights=(1.0, 2.0), filter="None::most")
    found = np.array([len(b.uids) for b in itertools.islice(batches(mixed), 3)])
    assert found.tolist() == [16] * 3
    loader = dataloader(dataclasses.replace(mixed))
    assert loader.num_samples == 120 + 2 * 96
