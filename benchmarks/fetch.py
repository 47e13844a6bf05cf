"""Our scraper against img2dataset 1.47, on the same files, servers and settings.

    make bench WHAT=fetch [ARGS="--images 4000 --only base,limits"]

Makes a corpus under out/bench (cached), serves it on loopback, runs both programs in turn, and
writes benchmarks/results/fetch_<cpu>_<yyyy-mm>.json and .md. Every finished row is written at once;
`--only` replaces the rows it names. Read ratios and CPU seconds: wall clock depends on the company.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import comparison
import fetch_engines
import fetch_rows
import fetch_slow
import fetch_table
import machine

PACKAGES = (
    "img2dataset",
    "albumentations",
    "opencv-python-headless",
    "pillow",
    "simplejpeg",
    "ray",
    "aiohttp",
    "pyarrow",
    "scikit-image",
)


ROWS = {
    "base": fetch_rows.base,
    "limits": fetch_rows.limits,
    "refused": fetch_rows.refused,
    "slow": fetch_slow.slow,
    "scaling": fetch_slow.scaling,
    "quality": fetch_rows.quality,
}
"""In the order of measuring: `limits` right after `base`, with which it is compared."""


def main(args: Sequence[str] | None = None) -> int:
    """Measure the rows that were asked for, in order."""
    given = parse(args)
    bench = fetch_engines.Bench(
        images=given.images, small=given.small, repeats=given.repeat, work=given.work
    )
    rows = {name: partial(ROWS[name], bench) for name in given.only}
    target = given.out.with_suffix(".json")
    return comparison.measure_rows(rows, target, PACKAGES, fetch_table.as_markdown)


def parse(args: Sequence[str] | None) -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=4_000, help="images of the long runs")
    parser.add_argument(
        "--small", type=int, help="images of the short runs (default 200, at most a fifth)"
    )
    parser.add_argument("--repeat", type=int, default=3, help="pairs of runs in base and refused")
    parser.add_argument(
        "--only",
        type=partial(comparison.chosen_rows, list(ROWS)),
        default=list(ROWS),
        help="rows, with commas between",
    )
    parser.add_argument("--work", type=Path, default=Path("out/bench"), help="corpus and runs")
    parser.add_argument(
        "--out", type=Path, default=machine.RESULTS / machine.result_stem("fetch"), help="results"
    )
    given = parser.parse_args(args)
    if given.images < 40:
        parser.error(f"--images must be at least 40, got {given.images}")
    if given.repeat < 1:
        parser.error(f"--repeat must be at least 1, got {given.repeat}")
    given.small = min(200, given.images // 5) if given.small is None else given.small
    if not 4 <= given.small < given.images:
        parser.error(f"--small must be 4 to {given.images - 1}, got {given.small}")
    return given


if __name__ == "__main__":
    sys.exit(main())
