"""The native engine against img2dataset: the same candidates, one process, on the demo's web.

    .venv/bin/python benchmarks/engines.py [--candidates 2000] [--repeats 3]

Both build the same unit in turn, several times, on the machine as it is: read the ratio, not the
seconds. CPU seconds are this process's, without the web server's; start-up (imports) is apart, in a
first build that is not counted. Prints a table and writes benchmarks/results/engines-DATE.json.
"""

import argparse
import datetime
import importlib
import json
import os
import resource
import statistics
import time
from pathlib import Path

import pyarrow.parquet as pq

import machine
from diagonal_data.config import ShardsConfig
from diagonal_data.demo.server import serving
from diagonal_data.demo.site import ensure_site
from diagonal_data.recipes import DEMO_WEB, demo_shards
from diagonal_data.schema import Candidate, candidates_from
from diagonal_infra import run_dir, storage

ENGINES = ("native", "img2dataset")


def read_candidates(count: int) -> list[Candidate]:
    """The first candidates of the demo; `make candidates` makes them."""
    path = storage.expand("out/demo/candidates/part-00000.parquet")[0]
    return candidates_from(pq.read_table(path).slice(0, count))


def measure(engine: str, candidates: list[Candidate], config: ShardsConfig) -> tuple[float, float]:
    """Wall and CPU seconds of fetching and decoding all candidates."""
    module = importlib.import_module(f"diagonal_data.engine_{engine}")
    started, before = time.perf_counter(), cpu_seconds()
    outcomes = module.fetch_and_decode(candidates, config)
    wall, cpu = time.perf_counter() - started, cpu_seconds() - before
    kept = sum(outcome.image is not None for outcome in outcomes)
    assert kept > len(candidates) // 2, f"{engine} kept {kept} of {len(candidates)}"
    return wall, cpu


def cpu_seconds() -> float:
    """User and system time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Measure both engines in turn and report medians and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=2_000)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    config, candidates = demo_shards(), read_candidates(given.candidates)
    runs: dict[str, list[tuple[float, float]]] = {engine: [] for engine in ENGINES}
    ensure_site(DEMO_WEB)
    with serving(DEMO_WEB):
        for engine in ENGINES:
            measure(engine, candidates[:50], config)
        for _ in range(given.repeats):
            for engine in ENGINES:
                runs[engine].append(measure(engine, candidates, config))
    cpu_ms = {
        engine: 1000 * statistics.median(cpu for _, cpu in done) / len(candidates)
        for engine, done in runs.items()
    }
    per_second = {
        engine: len(candidates) / statistics.median(wall for wall, _ in done)
        for engine, done in runs.items()
    }
    result = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "hardware": f"{machine.cpu_model()}, {os.cpu_count()} cores",
        "code_revision": run_dir.code_revision(),
        "candidates": len(candidates),
        "repeats": given.repeats,
        "cpu_ms_per_candidate": {engine: round(ms, 2) for engine, ms in cpu_ms.items()},
        "candidates_per_second": {engine: round(rate, 1) for engine, rate in per_second.items()},
        "cpu_ratio": round(cpu_ms["img2dataset"] / cpu_ms["native"], 2),
    }
    print(json.dumps(result, indent=2))
    target = Path(__file__).parent / "results" / f"engines-{result['date']}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
