"""The explorer over ten million rows: how long until a page is there, and in how much memory.

    make bench WHAT=explore [ARGS="--rows 200000"]

Makes the dataset of benchmarks/filters_corpus.py (cached, shared with `WHAT=filters`) and narrow
embeddings beside it, starts the command as a user would, asks it for JSON over HTTP, and writes
benchmarks/results/explore_<cpu>_<yyyy-mm>.json and .md. There is no peer: of the browsers of
image-caption sets none opens this many rows from the files that training reads.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np

import comparison
import machine
from diagonal_infra.errors import DiagonalError
from filters_corpus import FAILED, ROWS_PER_SHARD, build_corpus

PACKAGES = ("duckdb", "pyarrow", "numpy", "fastapi", "uvicorn")
WIDTH = 64
START_SECONDS = 60
RARE = "clip_b32_similarity > 0.47 and text_lang = 'en'"
ASKED = {
    "shard page": ("shard/00000000", {}),
    "failed candidates": ("failed", {"start": 1000}),
    "SQL, first page": ("sql", {"where": "clip_b32_similarity > 0.3"}),
    "SQL, all of a rare match": ("sql", {"where": RARE, "count": "true"}),
    "SQL, sorted by a score": ("sql", {"where": "text_lang = 'de'", "sort": "clip_l14_similarity"}),
    "histogram of a score": ("histogram", {"column": "clip_b32_similarity"}),
    "threshold moved": ("around", {"column": "clip_b32_similarity", "threshold": 0.31}),
    "histogram of a row column": ("histogram", {"column": "original_width"}),
}
"""Path and fields below /api; each is asked twice."""


class Server:
    """The command as a user starts it."""

    def __init__(self, dataset: Path) -> None:
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "diagonal_eval.explore", "--dataset", str(dataset)),
                *("--port", "0", "--seconds", "600"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if "http://" not in line:
            self.process.wait()
            raise DiagonalError(f"the explorer did not start: {line!r}")
        self.address = line.split("/  ")[0].strip()

    def ask(self, path: str, fields: Mapping[str, Any]) -> tuple[float, dict[str, Any]]:
        """Seconds of one answer, and the answer."""
        url = f"{self.address}/api/{path}?{urlencode(fields)}"
        before = time.perf_counter()
        with urllib.request.urlopen(url, timeout=600) as answer:
            found = json.load(answer)
        return time.perf_counter() - before, found

    def memory(self, name: str) -> int:
        """Bytes, as the kernel counts them under VmRSS or VmHWM."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split(f"{name}:")[1].split()[0]) * 1024

    def stop(self) -> None:
        """As Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=START_SECONDS)


def main(args: Sequence[str] | None = None) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the dataset")
    parser.add_argument("--work", type=Path, default=Path("out/bench/filters"), help="the dataset")
    parser.add_argument("--out", type=Path, help="results (default benchmarks/results)")
    given = parser.parse_args(args)
    target = given.out or machine.RESULTS / machine.result_stem("explore")
    rows = {f"{given.rows:,} rows": partial(measure_rows, given.work, given.rows)}
    return comparison.measure_rows(rows, target.with_suffix(".json"), PACKAGES, as_markdown)


def measure_rows(work: Path, rows: int) -> dict[str, Any]:
    """Start, ask everything twice, stop."""
    corpus = build_corpus(work / f"{rows // 1000}k", rows)
    write_embeddings(corpus.dataset, rows)
    server = Server(corpus.dataset)
    try:
        first_page, _ = server.ask("", {})
        started = time.perf_counter() - server.started
        server.ask("failed", {})
        indexed = time.perf_counter() - server.started
        rss = server.memory("VmRSS")
        asked = {name: [server.ask(*given) for _ in range(2)] for name, given in ASKED.items()}
        uid = asked["SQL, all of a rare match"][0][1]["cards"][0]["uid"]
        for name, path in (("sample page", f"sample/{uid}"), ("nearest pictures", f"like/{uid}")):
            asked[name] = [server.ask(path, {}) for _ in range(2)]
        return {
            "rows": rows,
            "width": WIDTH,
            "first_page_seconds": round(first_page, 3),
            "started_seconds": round(started, 2),
            "indexed_seconds": round(indexed, 2),
            "indexed_rss_bytes": rss,
            "max_rss_bytes": server.memory("VmHWM"),
            "seconds": {
                name: [round(seconds, 3) for seconds, _ in both] for name, both in asked.items()
            },
        }
    finally:
        server.stop()


def write_embeddings(dataset: Path, rows: int) -> None:
    """Random unit rows, where they are not there yet."""
    folder = dataset / "embeddings" / f"random{WIDTH}"
    folder.mkdir(parents=True, exist_ok=True)
    samples = ROWS_PER_SHARD - round(ROWS_PER_SHARD * FAILED)
    for number in range(rows // ROWS_PER_SHARD):
        path = folder / f"{number:08d}.npz"
        if not path.exists():
            rows_ND = np.random.default_rng(number).normal(size=(samples, WIDTH))
            rows_ND /= np.linalg.norm(rows_ND, axis=1, keepdims=True)
            np.savez(path, image=rows_ND.astype(np.float16), source=np.array("random"))


def as_markdown(result: Mapping[str, Any]) -> str:
    """The page."""
    parts = [
        "# The explorer",
        f"Machine: {result['machine']}. Versions: {comparison.packages(result)}.",
        comparison.measured_on(result["rows"]),
        "`make bench WHAT=explore` measures again. The files were in the page cache; wall clock "
        "depends on the company, and both cores were shared with other work.",
    ]
    for name, row in result["rows"].items():
        lines = [
            f"| {asked} | {first:g} | {again:g} |"
            for asked, (first, again) in row["seconds"].items()
        ]
        parts += [
            f"## {name}, embeddings {row['width']} wide",
            f"First page {row['started_seconds']:g} s after the start of the command; all uids "
            f"known after {row['indexed_seconds']:g} s, {row['indexed_rss_bytes'] / 1e9:.2f} GB "
            f"resident; at most {row['max_rss_bytes'] / 1e9:.2f} GB after everything below.",
            "\n".join(["| asked | seconds, first | again |", "|---|---|---|", *lines]),
        ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(main())
