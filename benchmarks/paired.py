"""Pairs of trainings by seed: running them, their accuracy, and the interval of the difference."""

import json
import math
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
"""Student's t at 97.5 % for so many pairs."""


def run_logged(folder: Path, *words: Sequence[str]) -> None:
    """Python with these arguments; its output goes to a log in `folder` named after the first."""
    command = [sys.executable, *(word for part in words for word in part)]
    name = Path(command[2] if command[1] == "-m" else command[1]).stem
    with (folder / f"{name}.log").open("w") as file:
        subprocess.run(command, check=True, stdout=file, stderr=subprocess.STDOUT)


def held_out_accuracy(folder: Path, run: str, data: str, demo: str) -> dict[str, float]:
    """Zero-shot accuracies of a run on the demo's held-out styles: top 1 and top 5."""
    run_logged(
        folder,
        ["-m", "diagonal_eval", "demo", "--checkpoint", run, "--data", data],
        ["--labels", f"{demo}/web/labels.parquet", "--output", str(folder / "eval")],
    )
    results = json.loads((folder / "eval" / "results.json").read_text())
    return {name: results["mean_held_out"][name] for name in ("top1", "top5")}


def interval(differences: list[float]) -> dict[str, float]:
    """Mean difference and its 95 % interval (paired t)."""
    mean = statistics.mean(differences)
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    half = T_95[len(differences)] * error
    return {"mean": mean, "low": mean - half, "high": mean + half}
