import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from diagonal_train.stream import StreamConfig, dataloader, open_stream
from diagonal_train.streaming.measure import MeasureConfig, main, measure
from diagonal_train.streaming.shuffle_quality import shuffle_quality

STREAM: dict[str, Any] = {"global_batch_size": 16, "lanes": 16, "window": 4, "image_size": 16}


def test_the_command_prints_what_it_measured_and_writes_the_uids(
    dataset: Path, tmp_path: Path
) -> None:
    uids = tmp_path / "uids.txt"
    command = [sys.executable, "-m", "diagonal_train.stream", "--data", str(dataset)]
    command += ["--global-batch-size", "16", "--lanes", "16", "--window", "4"]
    command += ["--image-size", "16", "--workers", "2", "--steps", "5", "--print-uids", str(uids)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    for row in ("samples per second", "waiting for data", "decode", "samples replaced", "shards"):
        assert row in done.stdout
    loader = dataloader(StreamConfig(data=str(dataset), **STREAM), num_workers=0)
    expected = [uid for batch in loader.take(5) for uid in batch.uids]
    assert uids.read_text().split() == expected


def test_it_begins_where_it_is_told_and_takes_its_ranks_share(
    dataset: Path, tmp_path: Path
) -> None:
    config = MeasureConfig(
        data=str(dataset), num_workers=0, steps=2, rank=1, world_size=2, samples_seen=32, **STREAM
    )
    path = tmp_path / "uids.txt"
    with path.open("wb") as file:
        found = measure(config, file)
    assert found.samples == 8  # of the second step: the first waits for the start
    assert found.cpu_seconds > 0
    loader = dataloader(StreamConfig(data=str(dataset), **STREAM), 1, 2, 0, samples_seen=32)
    assert path.read_text().split() == [uid for batch in loader.take(2) for uid in batch.uids]


def test_a_slow_step_waits_less_for_data(dataset: Path) -> None:
    config = MeasureConfig(data=str(dataset), num_workers=0, steps=3, step_seconds=0.2, **STREAM)
    found = measure(config)
    assert found.waited < found.seconds - 2 * config.step_seconds + 0.01


def test_replaced_samples_are_shown_by_cause(
    own_dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own_dataset / "shards" / "00000001.tar").unlink()
    main(MeasureConfig(data=str(own_dataset), num_workers=0, steps=3, max_replaced=0.9, **STREAM))
    assert "replaced: read_failed" in capsys.readouterr().out


def test_a_larger_window_is_shuffled_worse(dataset: Path) -> None:
    config = StreamConfig(data=str(dataset), **STREAM)
    config = replace(config, lanes=4)
    good, bad = (open_stream(replace(config, window=window)) for window in (1, 30))
    perfect, poor = shuffle_quality(good[1], good[0]), shuffle_quality(bad[1], bad[0])
    assert abs(perfect.neighbours) < 0.1
    assert poor.neighbours > perfect.neighbours
