"""Runs that are killed, and go on with as many or other ranks."""

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train.trouble import noted

from diagonal_train import checkpoint, loop
from diagonal_train.config.checkpoint import CheckpointConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World
from diagonal_train.encoders.load import load_model
from diagonal_train.loop import train

Build = Callable[..., TrainConfig]
Read = Callable[[Path | str], list[dict[str, Any]]]
TROUBLE = str(Path(__file__).parent / "trouble.py")
KILLED_RUNS = str(Path(__file__).parent / "killed_runs.py")
STEPS = 120


def test_a_run_killed_ten_times_at_random_ends_as_one_that_was_not(
    tiny: Build, tmp_path: Path, read_metrics: Read
) -> None:
    every = CheckpointConfig(every_steps=5)
    whole, broken = (
        tiny(samples_seen=16 * STEPS, checkpoint=every, run=str(tmp_path / name)) for name in "ab"
    )
    flags = ["--samples-seen", str(16 * STEPS), "--checkpoint.every-steps", "5"]
    # The import of TensorBoard takes longer than the steps between two kills.
    flags.append("--logging.no-tensorboard")
    words = [sys.executable, KILLED_RUNS, broken.data, broken.run, str(STEPS), "10", *flags]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert not Path(broken.run, "summary.json").exists()
    result = train(broken, World())
    assert result.finished
    train(whole, World())
    fields = ("step", "loss", "grad_norm", "lr", "logit_scale")
    left, right = (
        [[line[f] for f in fields] for line in read_metrics(r.run)] for r in (broken, whole)
    )
    assert left == right
    expected = load_model(whole.run).model.state_dict()
    weights = load_model(broken.run).model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in weights.items())


@pytest.mark.timeout(900)
def test_4_ranks_then_2_then_3_train_as_one_on_the_same_samples(
    tiny: Build,
    tmp_path: Path,
    read_metrics: Read,
    run_ranks: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = dataclasses.replace(tiny().stream, lanes=12)
    config = tiny(stream=stream, global_batch_size=24, samples_seen=24 * 15)
    monkeypatch.setattr(loop, "train_step", noted(loop.train_step, Path(config.run) / "uids"))
    train(config, World())
    run = tmp_path / "ranks"
    sizes = ["--global-batch-size", "24", "--stream.lanes", "12", "--samples-seen", "360"]
    for ranks, forgotten_after in ((4, 5), (2, 10), (3, 15)):
        command = [TROUBLE, config.data, str(run), "{}", *sizes, "--checkpoint.every-steps", "5"]
        run_ranks(command, ranks)
        checkpoint.delete_after(str(run), forgotten_after)
        shutil.move(run / "metrics.jsonl", run / f"metrics-{ranks}.jsonl")
    lines = [
        line
        for ranks, steps in ((4, range(1, 6)), (2, range(6, 11)), (3, range(11, 16)))
        for line in map(json.loads, (run / f"metrics-{ranks}.jsonl").read_text().splitlines())
        if line["step"] in steps
    ]
    expected = [line["loss"] for line in read_metrics(config.run)]
    assert [line["loss"] for line in lines] == pytest.approx(expected, rel=1e-4)
    for step, ranks in [(3, 4), (8, 2), (14, 3)]:
        (one,) = (Path(config.run) / "uids").glob(f"step-{step}.of-1.*")
        parts = [run / "uids" / f"step-{step}.of-{ranks}.rank-{r}.json" for r in range(ranks)]
        together = [uid for part in parts for uid in json.loads(part.read_text())]
        assert together == json.loads(one.read_text())
