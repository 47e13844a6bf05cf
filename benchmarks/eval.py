"""Ten evaluation sets, one small model: ours against CLIP_benchmark's own command.

    make bench WHAT=eval [ARGS="--samples 400"]

Both are whole processes at the same precision (fp32) on the same webdatasets and weights; the peer
runs with its default loader. Its metrics fail on numpy 2.4 and later, so it runs with an older one
in front of the same packages. Ours measures each template alone and every interval besides.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import open_clip
import torch

import measure
from comparison import Line, columns, measure_rows, measured_on, packages, table
from eval_sets import MULTILABEL, NAMES, RETRIEVAL, ensure_eval_sets
from machine import RESULTS, result_stem
from peers import peer_packages

PEER, OURS, AGAIN = "CLIP_benchmark", "diagonal", "diagonal, again"
MODEL = "ViT-S-32-alt"
PEER_PACKAGES = ("numpy<2.4", "pycocoevalcap", "pycocotools")
"""Of the peer alone: metrics of captions, which it imports and does not use here."""
GOAL_SPEED, GOAL_DIFFERENCE = 3.0, 1e-6
MB = 1e6
THEIR_NAMES = {"map": "mean_average_precision"}


def main() -> int:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=400, help="pictures of each set")
    parser.add_argument("--repeat", type=int, default=3, help="turns, of which the median")
    parser.add_argument("--work", type=Path, default=Path("out/bench-eval"), help="for the sets")
    stem = RESULTS / result_stem("eval")
    parser.add_argument("--out", type=Path, default=stem, help="result files, without suffix")
    given = parser.parse_args()
    versions = ("torch", "open_clip_torch", "clip_benchmark", "webdataset")
    rows = {"suite": partial(suite, given)}
    return measure_rows(rows, given.out.with_suffix(".json"), versions, as_markdown)


def suite(given: argparse.Namespace) -> dict[str, Any]:
    """Both programs in turns, and how far their numbers are apart."""
    given.work = given.work.resolve()
    sets = ensure_eval_sets(given.work, given.samples)
    weights = given.work / "weights.pt"
    if not weights.is_file():
        torch.manual_seed(0)
        torch.save(open_clip.create_model(MODEL, load_weights=False).state_dict(), weights)
    peer_path = peer_packages(given.work / "peer", PEER_PACKAGES)
    turns: dict[str, list[dict[str, float]]] = {}
    for _ in range(given.repeat):
        for name, folder in ((PEER, "theirs"), (OURS, "ours"), (AGAIN, "ours")):
            if name != AGAIN:
                shutil.rmtree(given.work / folder, ignore_errors=True)
                (given.work / folder).mkdir()
            command = _command(name, sets, weights, given.work / folder)
            paths = {"PYTHONPATH": _in_front(peer_path)} if name == PEER else {}
            usage = measure.run_measured(command, given.work / "logs", environment=paths)
            cost = {
                "wall_seconds": usage.wall_seconds,
                "cpu_seconds": usage.cpu_seconds,
                "max_rss_mb": usage.max_rss_bytes / MB,
            }
            turns.setdefault(name, []).append(cost)
    return {
        "samples": given.samples,
        "turns": turns,
        "programs": {
            name: {key: statistics.median(cost[key] for cost in costs) for key in costs[0]}
            for name, costs in turns.items()
        },
        "differences": differences(given.work),
    }


def _in_front(folder: Path) -> str:
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


def _command(name: str, sets: Path, weights: Path, output: Path) -> list[str]:
    if name == PEER:
        return [
            *(sys.executable, "-c", "import sys; from clip_benchmark.cli import main; main()"),
            *("eval", "--dataset", *(f"wds/{task}" for task in NAMES)),
            *("--dataset_root", f"{sets}/{{dataset}}", "--model", MODEL),
            *("--pretrained", str(weights), "--no_amp", "--recall_k", "1", "5", "10"),
            *("--output", f"{output}/{{dataset}}.json"),
        ]
    return [
        *(sys.executable, "-m", "diagonal_eval", "zeroshot"),
        *("--checkpoint", f"open_clip:{MODEL}:{weights}", "--output", str(output)),
        *("--tasks", *(f"wds:{sets / task}" for task in NAMES)),
        *("--sets.cache", str(output / "sets")),
    ]


def differences(work: Path) -> dict[str, float]:
    """The largest difference of any metric of each set that both programs have."""
    ours = json.loads((work / "ours" / "results.json").read_text())["tasks"]
    found = {}
    for name in NAMES:
        theirs = json.loads((work / "theirs" / f"{name}.json").read_text())["metrics"]
        own = next(task for key, task in ours.items() if key.endswith(f"/{name}"))["metrics"]
        own = {THEIR_NAMES.get(key, key): value for key, value in own.items()}
        both = [key for key in theirs if key in own]
        assert both, (name, theirs, own)
        found[name] = max(abs(theirs[key] - own[key]) for key in both)
    return found


def as_markdown(result: Mapping[str, Any]) -> str:
    """The page."""
    row = result["rows"]["suite"]
    lines = [_speed(row["turns"], key) for key in ("wall_seconds", "cpu_seconds")]
    for what, names in (
        ("accuracy, mean per class", [n for n in NAMES if n not in (MULTILABEL, RETRIEVAL)]),
        ("mean average precision", [MULTILABEL]),
        ("recall@1, 5, 10 both ways, 5 captions", [RETRIEVAL]),
    ):
        worst = max(row["differences"][name] for name in names)
        lines.append(
            Line(
                measure=f"{what}: largest difference",
                peer="",
                ours=f"{worst:.1e}",
                goal=f"≤ {GOAL_DIFFERENCE:.0e}",
                met=worst <= GOAL_DIFFERENCE,
            )
        )
    parts = [
        "# Evaluation: Diagonal against CLIP_benchmark",
        f"Machine: {result['machine']}. Versions: {packages(result)}.",
        measured_on(result["rows"]),
        f"{MODEL} with weights from a file, {len(NAMES)} webdatasets of {row['samples']} JPEGs of "
        f"256 px ({', '.join(NAMES)}), whole processes. `again`: the same command a second time, "
        "with all features kept. `make bench WHAT=eval` measures again.",
        table(PEER, lines),
        columns(row["programs"]),
    ]
    return "\n\n".join(parts) + "\n"


def _speed(turns: Mapping[str, Sequence[Mapping[str, float]]], key: str) -> Line:
    peer, ours = ([turn[key] for turn in turns[name]] for name in (PEER, OURS))
    ratios = [theirs / own for theirs, own in zip(peer, ours, strict=True)]
    ratio = statistics.median(ratios)
    return Line(
        measure=key.replace("_", " "),
        peer=f"{statistics.median(peer):.1f}",
        ours=f"{statistics.median(ours):.1f}",
        ratio=f"{ratio:.2f} ({min(ratios):.2f}–{max(ratios):.2f})",
        goal=f"≥ {GOAL_SPEED:.0f}",
        met=ratio >= GOAL_SPEED,
    )


if __name__ == "__main__":
    raise SystemExit(main())
