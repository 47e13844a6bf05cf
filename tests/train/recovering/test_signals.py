import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.train.recovering.test_watchdog import train_two

from diagonal_train import checkpoint, loop
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World
from diagonal_train.loop import train
from diagonal_train.watching.metrics import read_metrics

Build = Callable[..., TrainConfig]
Start = Callable[[list[str], int], list[subprocess.Popen[str]]]
Read = Callable[[Path | str], list[dict[str, Any]]]


def signalled(
    function: Callable[..., Any], when: Callable[..., bool], number: signal.Signals
) -> Callable[..., Any]:
    """The function, in which the process is sent a signal twice: before it begins, and after."""

    def run(*args: Any, **options: Any) -> Any:
        now = when(*args, **options)
        if now:
            signal.raise_signal(number)
        result = function(*args, **options)
        if now:
            signal.raise_signal(number)
        return result

    return run


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_in_a_step_saves_behind_the_next(
    tiny: Build,
    finished_run: TrainConfig,
    read_metrics: Read,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    config = tiny()
    in_step_6 = signalled(loop.train_step, lambda job, batch, step, stop: step == 5, number)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", in_step_6)
        result = train(config, World())
    assert (result.finished, result.steps) == (False, 7)
    assert checkpoint.steps(config.run) == [0, 7]
    assert train(config, World()).started_at_step == 7
    lines, expected = read_metrics(config.run), read_metrics(finished_run.run)
    assert [line["loss"] for line in lines] == [line["loss"] for line in expected]


def test_signals_while_saving_do_not_break_the_save(
    tiny: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny()
    while_saving = signalled(loop.save, lambda job, step: step == 10, signal.SIGTERM)
    monkeypatch.setattr(loop, "save", while_saving)
    result = train(config, World())
    assert (result.finished, result.steps) == (False, 11)
    assert checkpoint.read(config.run, 10).step == 10
    assert checkpoint.read(config.run, 11).step == 11


def test_a_signal_to_one_rank_stops_all_behind_one_step(tiny: Build, starting_ranks: Start) -> None:
    config = tiny()
    ranks = train_two(config, starting_ranks)
    ranks[1].send_signal(signal.SIGTERM)
    said = [rank.communicate(timeout=60)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [143, 143], said
    last = read_metrics(f"{config.run}/metrics.jsonl")[-1]["step"]
    assert checkpoint.read(config.run, last).step == last


def test_handlers_are_put_back(tiny: Build) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)]
    train(tiny(samples_seen=32), World())
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGUSR1)] == before
