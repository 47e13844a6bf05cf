import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from diagonal_train.config.train import TrainConfig

Build = Callable[..., TrainConfig]
Read = Callable[[Path | str], list[dict[str, Any]]]


def ray_workers(mark: str) -> list[int]:
    """Process ids of the Ray Train workers whose environment has the mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name = (folder / "cmdline").read_bytes()
            ours = mark.encode() in (folder / "environ").read_bytes()
        except OSError:
            continue
        if ours and name.startswith(b"ray::") and b"RayTrainWorker" in name:
            found.append(int(folder.name))
    return sorted(found)


@pytest.mark.ray
def test_a_killed_worker_is_started_anew_and_the_order_stays(
    tiny: Build, tmp_path: Path, finished_run: TrainConfig, read_metrics: Read
) -> None:
    config = tiny()
    metrics = Path(config.run) / "metrics.jsonl"
    launch = [sys.executable, "-m", "diagonal_infra.launch", "train", "--recipe", "tiny"]
    stage = ["--data", config.data, "--filter", "most", "--run", config.run]
    # 400 steps, so that the kill comes while it runs.
    more = ["--samples-seen", "6400"]
    process = subprocess.Popen(
        [*launch, "--on", "ray", "--workers", "2", "--args", *stage, *more],
        env={**os.environ, "TEST_MARK": str(tmp_path), "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 200
    while not (metrics.exists() and metrics.read_text().count("\n") > 12):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    killed = ray_workers(str(tmp_path))
    assert len(killed) == 2
    os.kill(killed[1], signal.SIGKILL)
    assert process.wait(timeout=250) == 0
    lines = read_metrics(config.run)
    assert [line["step"] for line in lines] == [*range(1, 401)]
    # The warm-up is the same whatever the run's length, and so is the order.
    expected = [line["loss"] for line in read_metrics(finished_run.run)][:2]
    assert [line["loss"] for line in lines][:2] == pytest.approx(expected, rel=1e-4)
