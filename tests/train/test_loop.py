import dataclasses
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from diagonal_infra.errors import DiagonalError, UserError
from diagonal_train import checkpoint, loop, step
from diagonal_train.__main__ import launch
from diagonal_train.config.optimizer import OptimizerConfig
from diagonal_train.config.train import Launcher, TrainConfig
from diagonal_train.distributed import World
from diagonal_train.encoders.load import load_model
from diagonal_train.loop import train
from diagonal_train.streaming.batch import Batch

Build = Callable[..., TrainConfig]
Read = Callable[[Path | str], list[dict[str, Any]]]
RANK_END = Path(__file__).parent / "rank_end.py"
GOLDEN = Path(__file__).parents[1] / "golden" / "train_tiny_losses.json"


def command(config: TrainConfig, *more: str) -> list[str]:
    """The command line of `tiny` with the places of a config."""
    places = ("--data", config.data, "--filter", str(config.filter), "--run", config.run)
    return ["-m", "diagonal_train", "tiny", *places, *more]


def losses(lines: list[dict[str, Any]]) -> list[float]:
    return [line["loss"] for line in lines]


def weights(run: str) -> dict[str, torch.Tensor]:
    return load_model(run).model.state_dict()


def assert_same_run(left: str, right: str, read_metrics: Read) -> None:
    """The same losses and weights, to the bit."""
    assert losses(read_metrics(left)) == losses(read_metrics(right))
    expected = weights(right)
    assert all(torch.equal(value, expected[name]) for name, value in weights(left).items())


def forget_after(run: str, step: int) -> None:
    """What the run folder would be had the process been killed before the next save."""
    for later in [s for s in checkpoint.steps(run) if s > step]:
        shutil.rmtree(checkpoint.folder(run, later))
    (Path(run) / "summary.json").unlink()


def test_losses_are_the_golden_ones(finished_run: TrainConfig, read_metrics: Read) -> None:
    golden = json.loads(GOLDEN.read_text())
    # 1e-4: other processors and libraries sum and decode in other orders.
    assert losses(read_metrics(finished_run.run))[:5] == pytest.approx(golden, rel=1e-4)


def test_a_finished_run_has_its_summary(finished_run: TrainConfig, read_metrics: Read) -> None:
    summary = json.loads((Path(finished_run.run) / "summary.json").read_text())
    assert (summary["finished"], summary["steps"], summary["samples_seen"]) == (True, 20, 320)
    assert summary["loss"] == read_metrics(finished_run.run)[-1]["loss"]
    assert summary["cpu_seconds"] > 0


def test_a_finished_run_started_again_does_nothing(
    finished_run: TrainConfig, caplog: pytest.LogCaptureFixture
) -> None:
    before = {p: p.stat().st_mtime_ns for p in Path(finished_run.run).rglob("*") if p.is_file()}
    caplog.set_level("INFO")
    result = train(finished_run, World())
    assert result.finished
    assert "nothing to do" in caplog.text
    after = {p: p.stat().st_mtime_ns for p in Path(finished_run.run).rglob("*") if p.is_file()}
    assert after == before


def test_20_steps_are_10_and_10_to_the_bit(
    tiny: Build,
    finished_run: TrainConfig,
    read_metrics: Read,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[list[str]] = []

    def watched(job: step.Job, batch: Batch, *args: Any, **kwargs: Any) -> step.StepStats:
        seen.append(batch.uids)
        return step.train_step(job, batch, *args, **kwargs)

    monkeypatch.setattr(loop, "train_step", watched)
    config = tiny()
    train(config, World())
    assert_same_run(config.run, finished_run.run, read_metrics)
    whole, seen = seen, []
    forget_after(config.run, 10)
    result = train(config, World())
    assert (result.started_at_step, result.finished) == (10, True)
    assert seen == whole[10:]
    assert_same_run(config.run, finished_run.run, read_metrics)


def test_a_damaged_newest_checkpoint_costs_only_its_steps(
    tiny: Build, finished_run: TrainConfig, read_metrics: Read
) -> None:
    config = tiny()
    shutil.copytree(finished_run.run, config.run)
    next(checkpoint.folder(config.run, 20).glob("*.distcp")).write_bytes(b"")
    (Path(config.run) / "summary.json").unlink()
    assert train(config, World()).started_at_step == 10
    assert_same_run(config.run, finished_run.run, read_metrics)


def test_going_on_with_other_settings_names_them(tiny: Build, finished_run: TrainConfig) -> None:
    config = tiny(run=finished_run.run, seed=3, optimizer=OptimizerConfig(lr=1.0, warmup_steps=2))
    with pytest.raises(UserError, match=r"--optimizer.lr was 0.002, is 1.0; --seed was 0, is 3"):
        train(config, World())


def test_going_on_with_other_data_is_refused(tiny: Build, finished_run: TrainConfig) -> None:
    with pytest.raises(UserError, match=r"--filter was 'most', is None; the dataset's kept"):
        train(tiny(run=finished_run.run, filter=None), World())


def test_bad_samples_are_counted_in_the_metrics(
    tiny: Build, own_dataset: Path, read_metrics: Read
) -> None:
    (own_dataset / "shards" / "00000001.tar").write_bytes(b"")
    config = tiny(data=str(own_dataset), samples_seen=96)
    train(config, World())
    lines = read_metrics(config.run)
    assert sum(line["replaced"] for line in lines) > 0
    assert sum(line.get("replaced_shard_changed", 0) for line in lines) > 0


def test_bf16_trains_about_the_same(
    tiny: Build, finished_run: TrainConfig, read_metrics: Read
) -> None:
    config = tiny(precision="bf16", samples_seen=320)
    train(config, World())
    expected = losses(read_metrics(finished_run.run))
    assert losses(read_metrics(config.run)) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143)])
def test_a_run_broken_off_goes_on_to_the_same_end(
    tiny: Build,
    read_metrics: Read,
    start_process: Callable[[list[str]], subprocess.Popen[str]],
    tmp_path: Path,
    number: signal.Signals,
    code: int,
) -> None:
    config = tiny(samples_seen=16 * 80)
    process = start_process(command(config, "--samples-seen", str(config.samples_seen)))
    metrics = Path(config.run) / "metrics.jsonl"
    deadline = time.monotonic() + 60
    saved = checkpoint.folder(config.run, 10)
    while not (saved.exists() and metrics.read_text().count("\n") > 12):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == code
    result = train(config, World())
    assert result.finished
    assert 10 <= result.started_at_step < 80
    if number == signal.SIGTERM:
        assert result.started_at_step > 12
    whole = tiny(samples_seen=config.samples_seen, run=str(tmp_path / "whole"))
    train(whole, World())
    assert_same_run(config.run, whole.run, read_metrics)


def test_two_ranks_with_two_workers_train_as_one_process_that_can_go_on_from_them(
    tiny: Build,
    finished_run: TrainConfig,
    read_metrics: Read,
    run_ranks: Callable[..., None],
) -> None:
    config = tiny()
    run_ranks(command(config, "--stream.num-workers", "2"), 2)
    expected = losses(read_metrics(finished_run.run))
    assert losses(read_metrics(config.run)) == pytest.approx(expected, rel=1e-4)
    twice = [[m["duplicate_captions"] for m in read_metrics(r.run)] for r in (config, finished_run)]
    assert twice[0] == twice[1]
    assert any(twice[0])
    assert json.loads((Path(config.run) / "summary.json").read_text())["world_size"] == 2
    forget_after(config.run, 10)
    assert train(config, World()).started_at_step == 10
    assert losses(read_metrics(config.run)) == pytest.approx(expected, rel=1e-4)


def test_a_sharded_run_is_loaded_and_gone_on_with_by_one_process(
    tiny: Build,
    finished_run: TrainConfig,
    read_metrics: Read,
    run_ranks: Callable[..., None],
) -> None:
    config = tiny()
    run_ranks(command(config, "--parallel.kind", "fsdp"), 2)
    expected = losses(read_metrics(finished_run.run))
    assert losses(read_metrics(config.run)) == pytest.approx(expected, rel=1e-4)
    one, many = weights(finished_run.run), weights(config.run)
    assert one.keys() == many.keys()
    forget_after(config.run, 10)
    assert train(config, World()).started_at_step == 10
    assert losses(read_metrics(config.run)) == pytest.approx(expected, rel=1e-4)


def test_torchrun_trains_as_one_process(
    tiny: Build, finished_run: TrainConfig, read_metrics: Read
) -> None:
    config = tiny()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "--"]
    words = [*torchrun, *command(config)[1:]]
    subprocess.run(words, check=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"})
    expected = losses(read_metrics(finished_run.run))
    assert losses(read_metrics(config.run)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("outcome", ["finished", "trouble"])
def test_no_replica_outlives_the_process_group(
    tiny: Build, run_ranks: Callable[..., None], outcome: str
) -> None:
    config = tiny()
    run_ranks([str(RANK_END), outcome, config.data, config.run], 2)


@pytest.mark.ray
def test_ray_train_trains_as_one_process(
    tiny: Build, finished_run: TrainConfig, read_metrics: Read
) -> None:
    config = tiny()
    words = [sys.executable, *command(config, "--launcher", "ray", "--workers", "2")]
    done = subprocess.run(words, check=True, timeout=240, stderr=subprocess.PIPE, text=True)
    assert done.stderr.count("step=20/20 ") == 1
    expected = losses(read_metrics(finished_run.run))
    assert losses(read_metrics(config.run)) == pytest.approx(expected, rel=1e-4)
    assert json.loads((Path(config.run) / "summary.json").read_text())["world_size"] == 2


@pytest.mark.parametrize("launcher", ["process", "ray"])
def test_a_run_folder_that_cannot_be_written_is_refused_before_work(
    tiny: Build, tmp_path: Path, launcher: Launcher
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match=r"cannot write to .*file/run"):
        launch(tiny(run=str(tmp_path / "file" / "run"), data="unread", launcher=launcher))


def test_ranks_without_a_launcher_are_told_how_to_start(tiny: Build) -> None:
    with pytest.raises(UserError, match=r"torchrun --nproc-per-node 2 -m -- diagonal_train"):
        launch(tiny(workers=2))


def test_ranks_that_do_not_divide_the_lanes_are_refused_before_work(tiny: Build) -> None:
    stream = dataclasses.replace(tiny().stream, num_workers=3)
    with pytest.raises(UserError, match="use 2 or 4 of them"):
        train(tiny(stream=stream), World())


def test_an_error_leaves_no_decoding_process_behind(
    tiny: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        assert multiprocessing.active_children()
        raise DiagonalError("the loss is not finite")

    monkeypatch.setattr("diagonal_train.loop.train_step", fail)
    config = tiny()
    stream = dataclasses.replace(config.stream, num_workers=1)
    with pytest.raises(DiagonalError, match="not finite"):
        train(dataclasses.replace(config, stream=stream), World())
    assert not multiprocessing.active_children()
