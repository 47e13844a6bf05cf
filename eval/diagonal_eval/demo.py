"""`make demo`: the whole way once, on real pictures and one machine.

    demo web → candidates → shards → filters → train → eval → out/demo/results.json, report.html

Each stage is the command a user would type, run as a process of its own with the recipe `demo`; a
stage that is finished is skipped by itself, so a killed demo goes on where it was.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from diagonal_eval.cpu_time import cpu_of_descendants
from diagonal_eval.report import add_stage_times
from diagonal_infra import log, run_dir, storage

OUT = Path("out/demo")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A command, and the name its time is reported under."""

    name: str
    command: tuple[str, ...]


STAGES = (
    Stage(name="web", command=("diagonal_data.demo.site", str(OUT / "web"))),
    Stage(name="candidates", command=("diagonal_data.candidates", "demo")),
    Stage(name="shards", command=("diagonal_data.shards", "demo")),
    Stage(name="filters", command=("diagonal_data.filters", "demo")),
    Stage(name="train", command=("diagonal_train", "demo")),
    Stage(name="eval", command=("diagonal_eval", "demo")),
)


@dataclass(kw_only=True)
class StageTimes:
    """Seconds spent in each stage, those of earlier, killed runs included."""

    wall_seconds: dict[str, float]
    cpu_seconds: dict[str, float]

    def add(self, stage: str, wall: float, cpu: float) -> None:
        """Add one run of a stage."""
        self.wall_seconds[stage] = round(self.wall_seconds.get(stage, 0.0) + wall, 1)
        self.cpu_seconds[stage] = round(self.cpu_seconds.get(stage, 0.0) + cpu, 1)


def main() -> None:
    """Run the stages, then write results.json and print the tables."""
    log.configure()
    times = read_times()
    for stage in STAGES:
        wall, cpu = run_stage(stage)
        times.add(stage.name, wall, cpu)
        storage.write_bytes(str(OUT / "times.json"), run_dir.to_json(vars(times)))
    results = gather_results(times)
    storage.write_bytes(str(OUT / "results.json"), run_dir.to_json(results))
    report = OUT / "eval" / "report.html"
    add_stage_times(str(report), times.wall_seconds, times.cpu_seconds)
    log.STDOUT.print(times_table(times))
    log.STDOUT.print(f"results: {OUT / 'results.json'}\nreport:  {report}", highlight=False)


def read_times() -> StageTimes:
    """What earlier runs spent; zero if there were none."""
    path = OUT / "times.json"
    if not path.is_file():
        return StageTimes(wall_seconds={}, cpu_seconds={})
    return StageTimes(**json.loads(path.read_text()))


def run_stage(stage: Stage) -> tuple[float, float]:
    """Run one stage; returns wall seconds and CPU seconds of it and all its descendants.

    Raises:
        SystemExit: the stage failed; its exit code is passed on.
    """
    log.STDOUT.rule(f"[bold]{stage.name}[/] python -m {' '.join(stage.command)}")
    started = time.monotonic()
    with cpu_of_descendants() as cpu:
        done = subprocess.run([sys.executable, "-m", *stage.command], check=False)
    wall = time.monotonic() - started
    if done.returncode != 0:
        sys.stderr.write(
            f"error: stage {stage.name!r} ended with code {done.returncode}; its message is above; "
            "run 'make demo' again to go on from there\n"
        )
        sys.exit(done.returncode)
    return wall, cpu.seconds


def gather_results(times: StageTimes) -> dict[str, Any]:
    """The evaluation's results with the whole funnel and the time of every stage."""
    results = json.loads((OUT / "eval" / "results.json").read_text())
    funnel = json.loads((OUT / "dataset" / "filters" / "demo" / "funnel.json").read_text())
    results["funnel"] = funnel["reasons"] | {"kept": funnel["kept"]}
    return results | vars(times)


def times_table(times: StageTimes) -> Table:
    """Wall and CPU seconds per stage, for the terminal."""
    table = Table(title="time spent", title_justify="left")
    table.add_column("stage")
    table.add_column("wall s", justify="right")
    table.add_column("CPU s", justify="right")
    for stage, wall in times.wall_seconds.items():
        table.add_row(stage, f"{wall:,.1f}", f"{times.cpu_seconds[stage]:,.1f}")
    table.add_section()
    total_wall, total_cpu = sum(times.wall_seconds.values()), sum(times.cpu_seconds.values())
    table.add_row("all", f"{total_wall:,.1f}", f"{total_cpu:,.1f}", style="bold")
    return table


if __name__ == "__main__":
    main()
