"""Our loader against open_clip_train's, webdataset and wids, and against what one core can do.

    make bench WHAT=stream [ARGS="--quick --only speed,limits"]

Makes shards under out/bench/stream (cached), runs the programs in turn, each in a fresh process,
and writes benchmarks/results/stream_<cpu>_<yyyy-mm>.json and .md. Every finished row is written at
once; `--only` replaces the rows it names. Read ratios and CPU seconds: wall clock depends on the
company. Loaders that need a format of their own (mosaicml-streaming, litdata) are not run.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import comparison
import machine
import stream_rows
import stream_table

PACKAGES = (
    *("open_clip_torch", "webdataset", "torch", "torchvision", "pillow", "simplejpeg"),
    *("opencv-python-headless", "tokenizers", "numpy", "scikit-image"),
)
ROWS = {
    "speed": stream_rows.speed,
    "limits": stream_rows.limits,
    "raw": stream_rows.raw,
    "first": stream_rows.first,
    "resume": stream_rows.resume,
    "pixels": stream_rows.pixels,
}
"""In the order of measuring: `limits` right after `speed`, with which it is compared."""


def main(args: Sequence[str] | None = None) -> int:
    """Measure the rows that were asked for, in order."""
    given = parse(args)
    bench = stream_rows.Bench(repeats=given.repeat, work=given.work, quick=given.quick)
    rows = {name: partial(ROWS[name], bench) for name in given.only}
    target = given.out.with_suffix(".json")
    return comparison.measure_rows(rows, target, PACKAGES, stream_table.as_markdown)


def parse(args: Sequence[str] | None) -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sets, one run: does it work?")
    parser.add_argument("--repeat", type=int, help="runs of each program (default 3, quick 1)")
    parser.add_argument(
        "--only",
        type=partial(comparison.chosen_rows, list(ROWS)),
        default=list(ROWS),
        help="rows, with commas between",
    )
    parser.add_argument("--work", type=Path, default=Path("out/bench/stream"), help="shards, runs")
    parser.add_argument("--out", type=Path, help="results (default benchmarks/results)")
    given = parser.parse_args(args)
    given.repeat = given.repeat or (1 if given.quick else 3)
    if given.repeat < 1:
        parser.error(f"--repeat must be at least 1, got {given.repeat}")
    # Figures of a quick run never stand where those of a whole one do.
    default = given.work / "quick" if given.quick else machine.RESULTS
    given.out = given.out or default / machine.result_stem("stream")
    return given


if __name__ == "__main__":
    sys.exit(main())
