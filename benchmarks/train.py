"""Whole training runs of the same small ViT on the same shards: ours against open_clip_train.

    make bench WHAT=train [ARGS="--batch-size 256 --steps 6 24"]

Both at equal precision and text length, and ours with its defaults: the precision that suits the
device, and texts cut to their length. Samples per second are the median of the steps behind the
first few, as each program logs them: from batch to batch, loading, decoding and logging included.
CPU-seconds are what the longer of two runs took more than the shorter, so that imports, indexing
and the first batch are left out. The programs take turns, and a ratio is the median of those of
one turn, because machines drift. Captions are as long as those of the web: 17 tokens of 77 on
average, with a long tail.
"""

import argparse
import json
import re
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import measure
from comparison import Line, chosen_rows, columns, measure_rows, measured_on, packages, table
from diagonal_train.encoders.models import open_clip_settings
from diagonal_train.streaming.tokenize import ClipTokenizer
from machine import RESULTS, result_stem
from stream_corpus import ShardSet
from train_runs import (
    CONTEXT,
    FIRST_STEPS,
    IMAGE_SIZE,
    MODEL,
    ensure_shards,
    logged_steps,
    our_flags,
    web_caption,
)

FOLDER = Path(__file__).parent
OURS, PEER = "diagonal", "open_clip_train"
PEER_RATE = re.compile(r"Batch \(t\): [\d.]+, ([\d.]+)/s,")
GOAL_EQUAL, GOAL_DEFAULTS = 1.0, 1.6
MB = 1e6


def main() -> int:
    """Measure the chosen rows."""
    given = parse()
    rows = {name: partial(ROWS[name], given) for name in given.only}
    packages_of = ("torch", "open_clip_torch", "webdataset")
    return measure_rows(rows, given.out.with_suffix(".json"), packages_of, as_markdown)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch-size", type=int, default=256, help="samples of a step")
    parser.add_argument("--steps", type=int, nargs=2, default=[6, 24], help="of the two runs")
    parser.add_argument("--repeat", type=int, default=3, help="turns, of which the median")
    parser.add_argument("--work", type=Path, default=Path("out/bench-train"), help="for shards")
    parser.add_argument(
        "--only", type=partial(chosen_rows, list(ROWS)), default=list(ROWS), help="rows, by commas"
    )
    stem = RESULTS / result_stem("train")
    parser.add_argument("--out", type=Path, default=stem, help="result files, without suffix")
    return parser.parse_args()


def speed(given: argparse.Namespace) -> dict[str, Any]:
    """Samples per second of each program, both ways."""
    shards = ensure_shards(given.work, max(given.steps) * given.batch_size)
    model = given.work / "bench-vit.json"
    model.write_text(json.dumps(open_clip_settings(MODEL)))
    runs: dict[str, list[dict[str, float]]] = {}
    for repeat in range(given.repeat):
        for name, command in commands(given, shards, model).items():
            folder = given.work / "runs" / f"{name.replace(' ', '-')}-{repeat}"
            runs.setdefault(name, []).append(cost(command, given, folder))
    return {
        "batch_size": given.batch_size,
        "steps": given.steps,
        "tokens": mean_tokens(),
        "turns": runs,
        "programs": {
            name: {key: statistics.median(run[key] for run in found) for key in found[0]}
            for name, found in runs.items()
        },
    }


def commands(given: argparse.Namespace, shards: ShardSet, model: Path) -> dict[str, list[str]]:
    """Both programs at equal settings, and ours as it is by default."""
    peer = [
        *("train_peer.py", str(model), "--model", model.stem, "--train-data", shards.pattern),
        *("--dataset-type", "webdataset", "--batch-size", str(given.batch_size), "--workers", "1"),
        *(
            "--epochs",
            "1",
            "--save-frequency",
            "0",
            "--log-every-n-steps",
            "1",
            "--device",
            "cpu",
            "--name",
            "run",
        ),
        *("--lr", "1e-3", "--beta2", "0.98", "--eps", "1e-6", "--warmup", "2", "--wd", "0.2"),
    ]
    ours = ["-m", "diagonal_train", *our_flags(shards, given.work, given.batch_size)]
    return {
        f"{PEER} fp32": [*peer, "--precision", "fp32"],
        f"{OURS} fp32, whole texts": [*ours, "--precision", "fp32", "--no-trim-text"],
        f"{OURS} by default": ours,
    }


def cost(command: Sequence[str], given: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Samples per second and per CPU-second between the shorter and the longer run."""
    usages, rates = [], []
    # A finished run would be left as it is.
    shutil.rmtree(folder, ignore_errors=True)
    for steps in given.steps:
        place = folder.resolve() / str(steps)
        samples = steps * given.batch_size
        ending = (
            ["--samples-seen", str(samples), "--run", str(place / "run")]
            if "diagonal_train" in command
            else ["--train-num-samples", str(samples), "--logs", str(place)]
        )
        usages.append(measure.run_measured(_python(command, ending), place))
        rates = logged_rates(place)
    short, long = usages
    samples = (given.steps[1] - given.steps[0]) * given.batch_size
    return {
        "samples_per_second": statistics.median(rates[FIRST_STEPS:]),
        "samples_per_cpu_second": samples / (long.cpu_seconds - short.cpu_seconds),
        "whole_short_run_seconds": short.wall_seconds,
        "max_rss_mb": long.max_rss_bytes / MB,
    }


def logged_rates(folder: Path) -> list[float]:
    """Samples per second of each step, as the program that ran there logged them."""
    run = folder / "run"
    if (run / "metrics.jsonl").exists():
        return [step["samples_per_second"] for step in logged_steps(run)]
    return [float(rate) for rate in PEER_RATE.findall((run / "out.log").read_text())]


def mean_tokens(count: int = 2000) -> float:
    """Tokens of a caption on average, start and end included."""
    tokens = ClipTokenizer(CONTEXT)([web_caption(number) for number in range(count)])
    return (tokens != 0).sum().item() / count


def as_markdown(result: Mapping[str, Any]) -> str:
    """The page."""
    rows = result["rows"]
    lines = []
    if "speed" in rows:
        for measured, key in (
            ("second", "samples_per_second"),
            ("CPU-s", "samples_per_cpu_second"),
        ):
            turns = {
                name: [turn[key] for turn in found]
                for name, found in rows["speed"]["turns"].items()
            }
            peer = turns[f"{PEER} fp32"]
            what = f"samples per {measured}, fp32, 77 tokens"
            lines.append(_line(what, peer, turns[f"{OURS} fp32, whole texts"], GOAL_EQUAL))
            what = f"samples per {measured}, ours with its defaults, the peer in fp32"
            lines.append(_line(what, peer, turns[f"{OURS} by default"], GOAL_DEFAULTS))
    parts = [
        "# Training: Diagonal against open_clip_train",
        f"Machine: {result['machine']}. Versions: {packages(result)}.",
        measured_on(rows),
        f"A ViT of {MODEL.vision.layers} + {MODEL.text.layers} layers of width "
        f"{MODEL.vision.width}, {IMAGE_SIZE} px, JPEGs of 256 px in tars, one loader worker; "
        "samples per second from the median step, CPU-seconds from what a longer run takes more. "
        "`make bench WHAT=train` measures again.",
        table(PEER, lines),
        *([columns(rows["speed"]["programs"])] if "speed" in rows else []),
    ]
    return "\n\n".join(parts) + "\n"


def _line(measured: str, peer: list[float], ours: list[float], goal: float) -> Line:
    ratios = [mine / theirs for mine, theirs in zip(ours, peer, strict=True)]
    ratio = statistics.median(ratios)
    return Line(
        measure=measured,
        peer=f"{statistics.median(peer):.1f}",
        ours=f"{statistics.median(ours):.1f}",
        ratio=f"{ratio:.2f} ({min(ratios):.2f}–{max(ratios):.2f})",
        goal=f"≥ {goal:.1f}",
        met=ratio >= goal,
    )


def _python(command: Sequence[str], ending: Sequence[str]) -> list[str]:
    first = command[0] if command[0] == "-m" else str(FOLDER / command[0])
    return [sys.executable, first, *command[1:], *ending]


ROWS = {"speed": speed}

if __name__ == "__main__":
    raise SystemExit(main())
