"""`make demo` itself, in a folder of its own: it takes minutes, and npm for the pictures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_demo_reaches_its_figures_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "diagonal_eval.demo"]
    subprocess.run(command, cwd=tmp_path, check=True)
    results = json.loads((tmp_path / "out/demo/results.json").read_text())
    assert results["funnel"]["kept"] > 6_000
    assert results["held_out_in_keep_list"] == 0
    mean = results["mean_held_out"]
    assert mean["top1"] >= 0.12
    assert mean["top5"] >= 0.33
    assert set(results["wall_seconds"]) == {
        "web", "candidates", "shards", "filters", "train", "eval",
    }  # fmt: skip
    subprocess.run(command, cwd=tmp_path, check=True)
    again = json.loads((tmp_path / "out/demo/results.json").read_text())
    assert {k: v for k, v in again.items() if "seconds" not in k} == {
        k: v for k, v in results.items() if "seconds" not in k
    }
