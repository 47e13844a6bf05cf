"""`make demo`: the whole way once, on real pictures and one machine.

    demo web → candidates → shards → filters → train → eval → out/demo/results.json, report.html

Each stage is the command a user would type, run as a process of its own with the recipe `demo`; a
stage that is finished is skipped by itself, so a killed demo goes on where it was.
"""

import argparse
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
    """A command, the name its time is reported under, and what is there when it is done."""

    name: str
    command: tuple[str, ...]
    output: Path


STAGES = (
    Stage(
        name="web",
        command=("diagonal_data.demo.site", str(OUT / "web")),
        output=OUT / "web/site.json",
    ),
    Stage(
        name="candidates",
        command=("diagonal_data.candidates", "demo"),
        output=OUT / "candidates/summary.json",
    ),
    Stage(
        name="shards",
        command=("diagonal_data.shards", "demo"),
        output=OUT / "dataset/manifest.json",
    ),
    Stage(
        name="filters",
        command=("diagonal_data.filters", "demo"),
        output=OUT / "dataset/filters/demo/keep.npy",
    ),
    Stage(
        name="train",
        command=("diagonal_train", "demo", "--filter", "demo"),
        output=OUT / "run/summary.json",
    ),
    Stage(name="eval", command=("diagonal_eval", "demo"), output=OUT / "eval/results.json"),
)


@dataclass(kw_only=True)
class StageTimes:
    """Seconds that each stage took until it was done, killed and failed runs included."""

    wall_seconds: dict[str, float]
    cpu_seconds: dict[str, float]
    done: list[str]

    def add(self, stage: Stage, wall: float, cpu: float, *, done: bool) -> None:
        """Add one run of a stage; a stage that was done before keeps its time."""
        if stage.name in self.done:
            return
        for seconds, spent in ((self.wall_seconds, wall), (self.cpu_seconds, cpu)):
            seconds[stage.name] = round(seconds.get(stage.name, 0.0) + spent, 1)
        if done:
            self.done.append(stage.name)

    def forget(self, stage: Stage) -> None:
        """The stage starts anew: its output is gone."""
        if stage.name in self.done:
            self.done.remove(stage.name)
            del self.wall_seconds[stage.name], self.cpu_seconds[stage.name]


def main() -> None:
    """Run the stages, then write results.json and print the tables."""
    argparse.ArgumentParser(
        prog="python -m diagonal_eval.demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    log.configure()
    times = read_times()
    for stage in STAGES:
        if not stage.output.exists():
            times.forget(stage)
        wall, cpu, code = run_stage(stage)
        times.add(stage, wall, cpu, done=code == 0)
        storage.write_bytes(str(OUT / "times.json"), run_dir.to_json(vars(times)))
        if code != 0:
            sys.stderr.write(
                f"error: stage {stage.name!r} ended with code {code}; its message is above; "
                "run 'make demo' again to go on from there\n"
            )
            sys.exit(code)
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
        return StageTimes(wall_seconds={}, cpu_seconds={}, done=[])
    return StageTimes(**json.loads(path.read_text()))


def run_stage(stage: Stage) -> tuple[float, float, int]:
    """Run one stage: wall seconds, CPU seconds of it and all its descendants, exit code."""
    log.STDOUT.rule(f"[bold]{stage.name}[/] python -m {' '.join(stage.command)}")
    started = time.monotonic()
    with cpu_of_descendants() as cpu:
        done = subprocess.run([sys.executable, "-m", *stage.command], check=False)
    return time.monotonic() - started, cpu.seconds, done.returncode


def gather_results(times: StageTimes) -> dict[str, Any]:
    """The evaluation's results with the time of every stage."""
    results = json.loads((OUT / "eval" / "results.json").read_text())
    return results | {"wall_seconds": times.wall_seconds, "cpu_seconds": times.cpu_seconds}


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
