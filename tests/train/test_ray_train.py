import dataclasses
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
from diagonal_train.distributed import World
from diagonal_train.loop import train

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
@pytest.mark.timeout(900)
def test_a_killed_worker_is_started_anew_and_the_order_stays(
    tiny: Build, tmp_path: Path, read_metrics: Read
) -> None:
    config = tiny(samples_seen=16 * 100)
    metrics = Path(config.run) / "metrics.jsonl"
    launch = [sys.executable, "-m", "diagonal_infra.launch", "train", "--recipe", "tiny"]
    stage = ["--data", config.data, "--filter", "most", "--run", config.run]
    process = subprocess.Popen(
        [*launch, "--on", "ray", "--workers", "2", "--args", *stage, "--samples-seen", "1600"],
        env={**os.environ, "TEST_MARK": str(tmp_path), "OMP_NUM_THREADS": "1"},
    )
    try:
        deadline = time.monotonic() + 400
        while not (metrics.exists() and metrics.read_text().count("\n") > 12):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        killed = ray_workers(str(tmp_path))
        assert len(killed) == 2
        os.kill(killed[1], signal.SIGKILL)
        assert process.wait(timeout=400) == 0
    finally:
        process.terminate()
        process.wait(timeout=60)
    whole = dataclasses.replace(config, run=str(tmp_path / "whole"))
    train(whole, World())
    left, right = (
        [(n["step"], n["loss"]) for n in read_metrics(r)] for r in (config.run, whole.run)
    )
    assert [step for step, _ in left] == [*range(1, 101)]
    # 1e-3: over 100 steps the two ranks' other order of sums adds up.
    assert [loss for _, loss in left] == pytest.approx([loss for _, loss in right], rel=1e-3)
