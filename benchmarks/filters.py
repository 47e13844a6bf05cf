"""Filters against what others do for the same result.

    make bench WHAT=filters [ARGS="--quick --only recipe"]

Makes data under out/bench/filters (cached), runs the programs in turn, each in a fresh process, and
writes benchmarks/results/filters_<cpu>_<yyyy-mm>.json and .md. Every finished row is written at
once; `--only` replaces the rows it names. Read ratios and CPU seconds: wall clock depends on the
company.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import comparison
import filters_recipe
import machine

PACKAGES = ("duckdb", "pyarrow", "numpy", "pandas")
RECIPE_ROWS, QUICK_ROWS = 10_000_000, 200_000


@dataclass(frozen=True, kw_only=True)
class Row:
    """One comparison: how it is measured, and its lines of the table."""

    measure: Callable[[argparse.Namespace], Mapping[str, Any]]
    lines: Callable[[Mapping[str, Any]], Iterator[comparison.Line]]


def recipe(given: argparse.Namespace) -> Mapping[str, Any]:
    """A recipe on rows and scores."""
    rows = QUICK_ROWS if given.quick else RECIPE_ROWS
    return filters_recipe.measure_row(given.work, rows, given.repeat)


ROWS = {"recipe": Row(measure=recipe, lines=filters_recipe.lines)}


def main(args: Sequence[str] | None = None) -> int:
    """Measure the rows that were asked for, in order."""
    given = parse(args)
    rows = {name: partial(ROWS[name].measure, given) for name in given.only}
    target = given.out.with_suffix(".json")
    return comparison.measure_rows(rows, target, PACKAGES, as_markdown)


def as_markdown(result: Mapping[str, Any]) -> str:
    """The whole page."""
    measured = result["rows"]
    lines = [line for name in ROWS if name in measured for line in ROWS[name].lines(measured[name])]
    details = [
        f"## {name}\n\n{comparison.columns(row['programs'])}"
        for name, row in measured.items()
        if "programs" in row
    ]
    parts = [
        "# Filters: Diagonal against what others do",
        f"Machine: {result['machine']}. Versions: {comparison.packages(result)}.",
        comparison.measured_on(measured),
        "`make bench WHAT=filters` measures again; read ratios rather than seconds.",
        comparison.table("the others", lines),
        *details,
    ]
    return "\n\n".join(parts) + "\n"


def parse(args: Sequence[str] | None) -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sets: does it work?")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each program")
    parser.add_argument(
        "--only",
        type=partial(comparison.chosen_rows, list(ROWS)),
        default=list(ROWS),
        help="rows, with commas between",
    )
    parser.add_argument("--work", type=Path, default=Path("out/bench/filters"), help="data, runs")
    parser.add_argument("--out", type=Path, help="results (default benchmarks/results)")
    given = parser.parse_args(args)
    if given.repeat < 1:
        parser.error(f"--repeat must be at least 1, got {given.repeat}")
    # Figures of a quick run never stand where those of a whole one do.
    default = given.work / "quick" if given.quick else machine.RESULTS
    given.out = given.out or default / machine.result_stem("filters")
    return given


if __name__ == "__main__":
    sys.exit(main())
