import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from diagonal_infra.errors import DiagonalError
from diagonal_train.config.recovery import RecoveryConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.recovering.watchdog import (
    HUNG_EXIT_CODE,
    PLACE,
    collective,
    diagnosis,
    stage,
    watching,
)

Build = Callable[..., TrainConfig]
Start = Callable[[list[str], int], list[subprocess.Popen[str]]]


def record(
    rank: int, step: int = 7, stage: str = "step", collective: str | None = "barrier"
) -> Any:
    return {"rank": rank, "step": step, "stage": stage, "collective": collective, "seconds": 300}


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([record(0), None, record(2), None], "rank 1, 3 says nothing"),
        ([record(0), record(1, step=6)], "rank 1 is at step 6, stage 'step', collective 'barrier'"),
        (
            [record(0), record(1, stage="data", collective=None)],
            "rank 1 is at step 7, stage 'data', no collective; the others wait for it",
        ),
        ([record(0), record(1)], "all ranks are in one place: rank 0 is at step 7"),
    ],
)
def test_the_diagnosis_names_the_rank_that_is_waited_for(
    records: list[dict[str, Any] | None], said: str
) -> None:
    assert said in diagnosis(dict(enumerate(records)))


def train_two(config: TrainConfig, start: Start, *flags: str) -> list[subprocess.Popen[str]]:
    """Two ranks of an endless run, behind some steps."""
    places = ("--data", config.data, "--filter", "most", "--run", config.run)
    command = ["-m", "diagonal_train", "tiny", *places, "--samples-seen", "9999999", *flags]
    ranks = start(command, 2)
    metrics = Path(config.run) / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.read_text().count("\n") > 3):
        assert [rank.poll() for rank in ranks] == [None, None], ranks[0].communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return ranks


def test_the_others_end_and_say_so_when_a_rank_dies(tiny: Build, starting_ranks: Start) -> None:
    ranks = train_two(tiny(), starting_ranks)
    ranks[1].kill()
    said = ranks[0].communicate(timeout=60)[1]
    ranks[1].communicate(timeout=60)
    assert ranks[0].returncode == 1, said
    assert "lost another rank at step" in said
    assert "go on from the newest checkpoint" in said


def test_a_rank_that_freezes_is_named_and_the_others_end(
    tiny: Build, starting_ranks: Start
) -> None:
    ranks = train_two(tiny(), starting_ranks, "--recovery.hang-seconds", "6")
    ranks[1].send_signal(signal.SIGSTOP)
    said = ranks[0].communicate(timeout=60)[1]
    ranks[1].kill()
    ranks[1].communicate(timeout=60)
    assert ranks[0].returncode == HUNG_EXIT_CODE, said
    assert "rank 1 says nothing" in said
    assert "hangs rank=0" in said
    assert "loop.py" in said, "stacks were dumped"


STOPPED = """
import time
from diagonal_train.config.recovery import RecoveryConfig
from diagonal_train.recovering.watchdog import stage, watching

with watching({run!r}, 0, 1, RecoveryConfig(hang_seconds=1.5)), stage("step"):
    input("in the step")
    time.sleep(0.5)
"""


def test_a_process_that_was_stopped_did_not_hang(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STOPPED.format(run=str(tmp_path))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.read(len("in the step"))
        process.send_signal(signal.SIGSTOP)
        time.sleep(3)  # twice as long as a process may hang
        process.send_signal(signal.SIGCONT)
        process.communicate(b"\n", timeout=60)
    assert process.returncode == 0


def test_waiting_long_for_data_names_the_rank(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = RecoveryConfig(data_wait_seconds=0.02)
    deadline = time.monotonic() + 30
    with watching(str(tmp_path), 3, 4, config), stage("data"):
        while "rank=3 waits for data" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.01)
    assert caplog.text.count("rank=3 waits for data") == 1


def test_time_in_collectives_is_not_the_ranks_own() -> None:
    before = PLACE.busy["test"]
    with stage("test"), collective("barrier"):
        time.sleep(0.2)
    assert PLACE.busy["test"] - before < 0.1


def test_an_error_of_our_own_is_no_lost_rank() -> None:
    with pytest.raises(RuntimeError, match="shapes"), stage("step"):
        raise RuntimeError("shapes do not match")
    with pytest.raises(DiagonalError, match="storage"), stage("step"):
        raise DiagonalError("storage is down")
