"""The candidates stage against its peers and its limits.

    make bench WHAT=candidates [ARGS="--only extract,match --rows 1000000"]

    extract   pages/s of one core, WAT and WARC: cc2dataset, plain loops of HTML parsers, inflating
    match     captions/s of one core, 500,000 entries: MetaCLIP's released matchers
    scale     deduplication and balance on two cores: DuckDB alone; and how time grows with rows
    truth     images and texts of real documentation against Chromium's documents

Peers' packages are installed beside, into --work/peers, without their dependencies.
"""

import argparse
import os
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import candidates_extract
import candidates_match
import candidates_scale
import candidates_truth
from candidates_crawl import write_crawl
from comparison import Line, chosen_rows, measure_rows, measured_on, packages, table
from machine import RESULTS, result_stem
from peers import peer_packages

PEERS = ("cc2dataset", "lxml", "pyahocorasick", "pysimdjson", "resiliparse", "selectolax")
DOCUMENTATION = ("gimp-help-en", "python-skimage-doc", "freedombox-doc-en", "debian-handbook")
GOALS = {"wat": 2.5, "warc": 1.0, "match": 10.0, "scale": 1.5, "growth": 1.2, "truth": 0.99}


def main() -> int:
    """Measure the chosen rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pages", type=int, default=3_000, help="of the synthetic crawl")
    parser.add_argument(
        "--rows",
        type=int,
        nargs="+",
        default=[1_000_000, 10_000_000, 20_000_000],
        help="of the scale runs, the last against DuckDB",
    )
    parser.add_argument("--documents", type=int, default=1_500, help="most pages in the browser")
    parser.add_argument("--work", type=Path, default=Path("out/bench-candidates"))
    parser.add_argument(
        "--only", type=partial(chosen_rows, list(ROWS)), default=list(ROWS), help="rows, by commas"
    )
    stem = RESULTS / result_stem("candidates")
    parser.add_argument("--out", type=Path, default=stem, help="result files, without suffix")
    given = parser.parse_args()
    rows = {name: partial(ROWS[name], given) for name in given.only}
    versions = ("fastwarc", "isal", "msgspec", "duckdb", "pyarrow", "numpy")
    return measure_rows(rows, given.out.with_suffix(".json"), versions, as_markdown)


def extract(given: argparse.Namespace) -> dict[str, Any]:
    """Pages per second, in a process of its own that stays on one core."""
    crawl = given.work / f"crawl-{given.pages}"
    if not crawl.exists():
        write_crawl(crawl, given.pages)
    peers = peer_packages(given.work / "peers", PEERS)
    before = os.sched_getaffinity(0)
    try:
        return candidates_extract.measure(crawl, cc2dataset=peers, peers=peers)
    finally:
        os.sched_setaffinity(0, before)


def match(given: argparse.Namespace) -> dict[str, Any]:
    """Captions per second."""
    return candidates_match.measure_matching(
        given.work / "match", str(peer_packages(given.work / "peers", PEERS))
    )


def scale(given: argparse.Namespace) -> dict[str, Any]:
    """Ours with each number of rows; DuckDB with the last."""
    sides = [["ours"]] * (len(given.rows) - 1) + [["ours", "duckdb"]]
    return {
        "sizes": [
            candidates_scale.measure_scale(given.work / "scale", rows, chosen)
            for rows, chosen in zip(given.rows, sides, strict=True)
        ]
    }


def truth(given: argparse.Namespace) -> dict[str, Any]:
    """Recall and precision on documentation that Debian packages carry."""
    folder = given.work / "documentation"
    if not folder.exists():
        aside = folder.with_suffix(".partial")
        aside.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", *DOCUMENTATION], cwd=aside, check=True)
        for package in sorted(aside.glob("*.deb")):
            subprocess.run(["dpkg", "-x", package.name, "."], cwd=aside, check=True)
            package.unlink()
        aside.rename(folder)
    return candidates_truth.measure(folder, most=given.documents)


def as_markdown(result: Mapping[str, Any]) -> str:
    """The page."""
    rows = result["rows"]
    lines = [line for name, row in rows.items() for line in LINES[name](row)]
    parts = [
        "# Candidates: Diagonal against its peers",
        f"Machine: {result['machine']}. Versions: {packages(result)}.",
        measured_on(rows),
        "Rates are of one core by CPU time, ours and the peers' in turns. Pages are synthetic, as "
        "long as Common Crawl's (63 kB, 19 images). `make bench WHAT=candidates` measures again.",
        table("peer", lines),
    ]
    return "\n\n".join(parts) + "\n"


def _extract_lines(row: Mapping[str, Any]) -> list[Line]:
    lines = []
    for kind, goal in (("wat", GOALS["wat"]), ("warc", GOALS["warc"])):
        ways = row[kind]
        ours = ways["ours"]
        for name, way in ways.items():
            if name == "ours":
                continue
            is_goal = name in ("cc2dataset", "selectolax")
            ratio = ours["pages_per_second"] / way["pages_per_second"]
            found = f", {way['found']:,} pairs" if "inflate" not in name else ""
            lines.append(
                Line(
                    measure=f"{kind.upper()}, pages/s: {name}",
                    peer=f"{way['pages_per_second']:,.0f}{found}",
                    ours=f"{ours['pages_per_second']:,.0f}, {ours['found']:,} pairs",
                    ratio=f"{ratio:.2f}",
                    goal=f"≥ {goal}" if is_goal else "",
                    met=ratio >= goal if is_goal else None,
                )
            )
    return lines


def _match_lines(row: Mapping[str, Any]) -> list[Line]:
    rates = row["captions_per_second"]
    return [
        Line(
            measure=f"captions/s, {row['entries']:,} entries: MetaCLIP's {what}",
            peer=f"{rates[side]:,}",
            ours=f"{rates['ours']:,}",
            ratio=f"{rates['ours'] / rates[side]:,.1f}",
            goal=f"≥ {GOALS['match']:g}",
            met=rates["ours"] / rates[side] >= GOALS["match"],
        )
        for side, what in (("loop", "loop over entries"), ("automaton", "Aho–Corasick automaton"))
    ]


def _scale_lines(row: Mapping[str, Any]) -> list[Line]:
    sizes = row["sizes"]
    largest = sizes[-1]
    ours, peer = largest["ours"], largest["duckdb"]
    ratio = ours["seconds"] / peer["seconds"]
    # Of the work alone: starting the processes takes seconds, which weigh on the smallest size.
    per_row = [round(size["ours"]["work_cpu_seconds"] / size["rows"] * 1e6, 2) for size in sizes]
    spread = max(per_row) / min(per_row)
    numbers = " / ".join(f"{size['rows'] / 1e6:g} M" for size in sizes)
    return [
        Line(
            measure=f"dedup and balance of {largest['rows'] / 1e6:g} M rows, seconds: DuckDB",
            peer=f"{peer['seconds']} ({peer['cpu_seconds']} CPU)",
            ours=f"{ours['seconds']} ({ours['cpu_seconds']} CPU)",
            ratio=f"{ratio:.2f}",
            goal=f"≤ {GOALS['scale']}",
            met=ratio <= GOALS["scale"],
        ),
        Line(
            measure="the same, largest memory, GB",
            peer=f"{peer['max_memory_gb']}",
            ours=f"{ours['max_memory_gb']}",
            goal="≤ 4",
            met=ours["max_memory_gb"] <= 4,
        ),
        Line(
            measure=f"CPU microseconds per row, {numbers}",
            peer="",
            ours=" / ".join(map(str, per_row)),
            ratio=f"{spread:.2f}",
            goal=f"≤ {GOALS['growth']}",
            met=spread <= GOALS["growth"],
        ),
    ]


def _truth_lines(row: Mapping[str, Any]) -> list[Line]:
    return [
        Line(
            measure=f"{what} of pairs on {row['pages']:,} pages: Chromium",
            peer=f"{row['browser']:,} pairs",
            ours=f"{row[what]:.2%}",
            goal=f"≥ {GOALS['truth']:.0%}",
            met=row[what] >= GOALS["truth"],
        )
        for what in ("recall", "precision")
    ]


ROWS = {"extract": extract, "match": match, "scale": scale, "truth": truth}
LINES = {
    "extract": _extract_lines,
    "match": _match_lines,
    "scale": _scale_lines,
    "truth": _truth_lines,
}

if __name__ == "__main__":
    raise SystemExit(main())
