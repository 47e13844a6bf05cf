"""What a launcher costs: the time until work is done, and the time of each step.

    make bench WHAT=launch [ARGS="--repeat 3 --steps 24"]

start  from the command to the first picture asked for, the first finished shard (of 16 pictures
       from a web whose answers take 150 ms) and the first finished step of training
step   the median step of the same training under torchrun and on Ray Train, in turns; a ratio is
       that of one turn, because machines drift

Each launch is the command that `make launch` runs, with two workers or ranks.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import fetch_corpus
import fetch_web
from comparison import Line, chosen_rows, measure_rows, measured_on, packages, table
from diagonal_data.schema import candidate_for, candidates_table
from diagonal_infra.errors import DiagonalError
from fetch_servers import answer_times, slow_web
from machine import RESULTS, result_stem
from train_runs import FIRST_STEPS, ensure_shards, logged_steps, our_flags

TORCHRUN, RAY, ALONE = "torchrun", "ray", "local"
RANKS = 2
PICTURES, PICTURES_PER_SHARD, HOSTS = 64, 16, 8
START_STEPS = 2
GOAL_OVERHEAD = 0.02
LOOK_SECONDS = 0.02


def main() -> int:
    """Measure the chosen rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=3, help="turns, of which the median")
    parser.add_argument("--steps", type=int, default=24, help="of training in the row `step`")
    parser.add_argument("--batch-size", type=int, default=256, help="samples of a step")
    parser.add_argument("--work", type=Path, default=Path("out/bench-launch"), help="for files")
    parser.add_argument(
        "--only", type=partial(chosen_rows, list(ROWS)), default=list(ROWS), help="rows, by commas"
    )
    stem = RESULTS / result_stem("launch")
    parser.add_argument("--out", type=Path, default=stem, help="result files, without suffix")
    given = parser.parse_args()
    rows = {name: partial(ROWS[name], given) for name in given.only}
    return measure_rows(rows, given.out.with_suffix(".json"), ("ray", "torch"), as_markdown)


def start(given: argparse.Namespace) -> dict[str, Any]:
    """Seconds from the command to its first results, by launcher."""
    turns = [_start_turn(given) for _ in range(given.repeat)]
    return {
        "seconds": {
            what: {name: statistics.median(turn[what][name] for turn in turns) for name in found}
            for what, found in turns[0].items()
        }
    }


def _start_turn(given: argparse.Namespace) -> dict[str, dict[str, float]]:
    asked: dict[str, float] = {}
    written: dict[str, float] = {}
    for on in (ALONE, RAY):
        asked[on], written[on] = first_shard(on, given.work)
    steps = {on: first_step(on, given) for on in (ALONE, TORCHRUN, RAY)}
    return {"first picture asked for": asked, "first shard": written, "first step": steps}


def first_shard(on: str, work: Path) -> tuple[float, float]:
    """Seconds until the web answered for a picture, and until a shard was there."""
    corpus, folder = work / "corpus", work / "runs" / f"shards-{on}"
    images = fetch_corpus.ensure_corpus(corpus, PICTURES)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with slow_web(corpus, HOSTS) as server:
        names = [image.name for image in images]
        urls = fetch_web.plan_urls(names, server.port, HOSTS, trouble=False)
        captions = fetch_corpus.captions(len(urls))
        rows = [candidate_for(url, caption) for url, caption in zip(urls, captions, strict=True)]
        pq.write_table(candidates_table(rows), folder / "candidates.parquet")
        flags = [
            *("--candidates", str(folder / "candidates.parquet")),
            *("--dataset", str(folder / "dataset")),
            *("--samples-per-shard", str(PICTURES_PER_SHARD)),
            *("--allow-hosts", *server.hosts),
        ]
        shards = folder / "dataset" / "shards"
        alone = ["--local"] if on == ALONE else []
        command = launched("shards", on, "web", [*flags, *alone])
        began, written = run_until(command, folder, lambda: any(shards.glob("*.tar")))
        return min(answer_times(server)) - began, written - began


def first_step(on: str, given: argparse.Namespace) -> float:
    """Seconds until the first step of training was logged."""
    samples = START_STEPS * given.batch_size
    folder, command = training(on, given, samples)
    metrics = folder / "run" / "metrics.jsonl"
    logged = partial(_has_line, metrics)
    began, seen = run_until(command, folder, logged)
    return seen - began


def step(given: argparse.Namespace) -> dict[str, Any]:
    """The median step of both launchers, turn by turn."""
    turns = []
    for _ in range(given.repeat):
        turn = {}
        for on in (TORCHRUN, RAY):
            folder, command = training(on, given, given.steps * given.batch_size)
            run_until(command, folder, lambda: True)
            steps = logged_steps(folder / "run")[FIRST_STEPS:]
            turn[on] = statistics.median(row["seconds_step"] for row in steps)
        turns.append(turn)
    return {"steps": given.steps, "batch_size": given.batch_size, "turns": turns}


def training(on: str, given: argparse.Namespace, samples: int) -> tuple[Path, list[str]]:
    """An empty folder, and the command that trains on so many samples into its `run`."""
    folder = given.work.resolve() / "runs" / f"train-{on}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shards = ensure_shards(given.work, given.steps * given.batch_size)
    recipe, *flags = our_flags(shards, given.work.resolve(), given.batch_size)
    ending = ["--samples-seen", str(samples), "--run", str(folder / "run")]
    return folder, launched("train", on, recipe, [*flags, *ending])


def launched(target: str, on: str, recipe: str, flags: Sequence[str]) -> list[str]:
    """The command line that `make launch` runs."""
    many = [] if on == ALONE else ["--processes", str(RANKS)]
    own = [target, "--on", on, "--recipe", recipe, *many]
    return [sys.executable, "-m", "diagonal_infra.launch", *own, "--args", *flags]


def run_until(
    command: Sequence[str], folder: Path, happened: Callable[[], bool]
) -> tuple[float, float]:
    """When the command began and when that had happened, by the monotonic clock; runs to its end.

    Raises:
        DiagonalError: it failed, or that never happened.
    """
    log, seen = folder / "log.txt", None
    with log.open("w") as file:
        began = time.monotonic()
        with subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT) as process:
            while seen is None and process.poll() is None:
                time.sleep(LOOK_SECONDS)
                seen = time.monotonic() if happened() else None
    if process.returncode or seen is None:
        raise DiagonalError(f"{command[2]} left with code {process.returncode}; see {log}")
    return began, seen


def _has_line(path: Path) -> bool:
    return path.exists() and "\n" in path.read_text()


def as_markdown(result: Mapping[str, Any]) -> str:
    """The page."""
    rows = result["rows"]
    parts = [
        "# What launchers cost",
        f"Machine: {result['machine']}. Versions: {packages(result)}.",
        measured_on(rows),
        f"{RANKS} workers or ranks; `{ALONE}` is one process. `make bench WHAT=launch` measures "
        "again.",
    ]
    if "start" in rows:
        lines = [
            "| " + " | ".join([what, *(_seconds(found.get(on)) for on in (ALONE, TORCHRUN, RAY))])
            for what, found in rows["start"]["seconds"].items()
        ]
        head = (
            f"| seconds from the command to the | {ALONE} | {TORCHRUN} | {RAY} |\n|---|---|---|---|"
        )
        parts.append("\n".join([head, *(f"{line} |" for line in lines)]))
    if "step" in rows:
        parts.append(table(TORCHRUN, [_step_line(rows["step"]["turns"])]))
    return "\n\n".join(parts) + "\n"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _step_line(turns: Sequence[Mapping[str, float]]) -> Line:
    overheads = [turn[RAY] / turn[TORCHRUN] - 1 for turn in turns]
    overhead = statistics.median(overheads)
    return Line(
        measure=f"milliseconds of a training step, medians of {len(turns)} turns",
        peer=f"{1e3 * statistics.median(turn[TORCHRUN] for turn in turns):.0f}",
        ours=f"on Ray Train {1e3 * statistics.median(turn[RAY] for turn in turns):.0f}",
        ratio=f"{overhead:+.1%} ({min(overheads):+.1%} to {max(overheads):+.1%})",
        goal=f"≤ +{GOAL_OVERHEAD:.0%}",
        met=overhead <= GOAL_OVERHEAD,
    )


ROWS = {"start": start, "step": step}

if __name__ == "__main__":
    raise SystemExit(main())
