"""Does the fast decoder cost accuracy? Trains the demo with both, seed by seed, and compares.

    make demo                                   # the dataset
    make bench WHAT=decoder_ab                  # 5 seeds, about 12 minutes on two cores

Each pair of runs differs in `--stream.decoder` alone: `pillow` gives open_clip's own pixels, `fast`
ours. What is compared is the mean zero-shot accuracy on the held-out styles, by a paired t interval
over the seeds.
"""

import argparse
import json
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

from machine import RESULTS, hardware, result_stem, today
from paired import T_95, held_out_accuracy, interval, run_logged

DECODERS = ("fast", "pillow")


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
    run_logged(
        folder,
        ["-m", "diagonal_train", "demo", "--data", data, "--filter", "demo", "--run", run],
        ["--seed", str(seed), "--samples-seen", str(options.samples)],
        ["--stream.decoder", decoder],
    )
    return held_out_accuracy(folder, run, data, options.demo)


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
