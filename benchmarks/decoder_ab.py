"""Does the fast decoder cost accuracy? Trains the demo with both, seed by seed, and compares.

    make demo                                   # the dataset
    make bench WHAT=decoder_ab                  # 5 seeds, about 12 minutes on two cores

Each pair of runs differs in `--stream.decoder` alone: `pillow` gives open_clip's own pixels, `fast`
ours. What is compared is the mean zero-shot accuracy on the held-out styles, by a paired t interval
over the seeds.
"""

import argparse
import json
import math
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from machine import RESULTS, hardware, result_stem, today

DECODERS = ("fast", "pillow")
T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
"""Student's t at 97.5 % for so many pairs."""


def main() -> None:
    """Train, evaluate, compare, write."""
    options = parse()
    work = Path(options.work)
    found: dict[str, list[dict[str, float]]] = {decoder: [] for decoder in DECODERS}
    for seed in range(options.seeds):
        for decoder in DECODERS:
            accuracy = run_once(options, work / f"{decoder}-{seed}", decoder, seed)
            found[decoder].append(accuracy)
            sys.stderr.write(f"seed={seed} decoder={decoder} {accuracy}\n")
    record = {
        "machine": hardware(),
        "date": today(),
        "samples": options.samples,
        "seeds": options.seeds,
        "accuracy": found,
        "fast_minus_pillow": {
            name: interval([a[name] - b[name] for a, b in zip(*found.values(), strict=True)])
            for name in found["fast"][0]
        },
    }
    Path(f"{options.out}.json").write_text(json.dumps(record, indent=2) + "\n")
    Path(f"{options.out}.md").write_text(as_markdown(record))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--demo", default="out/demo", help="folder of `make demo`")
    parser.add_argument("--seeds", type=int, default=5, help="pairs of runs, at least 2")
    parser.add_argument("--samples", type=int, default=40_960, help="samples seen by each run")
    parser.add_argument("--work", default="out/decoder_ab", help="where the runs go")
    default = str(RESULTS / result_stem("decoder_ab"))
    parser.add_argument("--out", default=default, help="result files without their suffix")
    options = parser.parse_args()
    if not 2 <= options.seeds <= max(T_95):
        parser.error(f"--seeds must be in 2–{max(T_95)}, got {options.seeds}")
    return options


def run_once(
    options: argparse.Namespace, folder: Path, decoder: str, seed: int
) -> dict[str, float]:
    """Accuracies of one run on the held-out styles: top 1 and top 5."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run, data = str(folder / "run"), f"{options.demo}/dataset"
    train = [
        "diagonal_train",
        "demo",
        "--data",
        data,
        "--filter",
        "demo",
        "--run",
        run,
        "--seed",
        str(seed),
    ]
    train += ["--samples-seen", str(options.samples), "--stream.decoder", decoder]
    labels = f"{options.demo}/web/labels.parquet"
    evaluate = ["diagonal_eval", "demo", "--checkpoint", run, "--data", data, "--labels", labels]
    evaluate += ["--output", str(folder / "eval")]
    for command in (train, evaluate):
        with (folder / f"{command[0]}.log").open("w") as file:
            subprocess.run(
                [sys.executable, "-m", *command], check=True, stdout=file, stderr=subprocess.STDOUT
            )
    results = json.loads((folder / "eval" / "results.json").read_text())
    return {name: results["mean_held_out"][name] for name in ("top1", "top5")}


def interval(differences: list[float]) -> dict[str, float]:
    """Mean difference and its 95 % interval (paired t)."""
    mean = statistics.mean(differences)
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    half = T_95[len(differences)] * error
    return {"mean": mean, "low": mean - half, "high": mean + half}


def as_markdown(record: dict[str, Any]) -> str:
    """The result for people."""
    lines = [
        "# Training with the fast decoder and with open_clip's pixels",
        "",
        f"{record['machine']}, {record['date']}. Demo recipe, {record['samples']:,} samples seen, "
        f"{record['seeds']} seeds, zero-shot accuracy on the held-out styles in %.",
        "",
        "| | " + " | ".join(DECODERS) + " | fast − pillow (95 % interval, paired) | equal |",
        "|---|---|---|---|---|",
    ]
    for name, found in record["fast_minus_pillow"].items():
        means = [
            f"{100 * statistics.mean(run[name] for run in record['accuracy'][decoder]):.2f}"
            for decoder in DECODERS
        ]
        span = f"{100 * found['low']:+.2f} … {100 * found['high']:+.2f}"
        equal = "yes" if found["low"] <= 0 <= found["high"] else "**no**"
        lines.append(
            f"| {name} | {' | '.join(means)} | {100 * found['mean']:+.2f} ({span}) | {equal} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
