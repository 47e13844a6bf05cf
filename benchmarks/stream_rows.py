"""The rows of stream.py: each function gives one entry of the JSON.

    speed     both loaders with one worker, on shards of three picture sizes; memory of the worker
    limits    the loader put together by hand, and open_clip's stages, on one core
    raw       delivery without decoding, in one process
    first     seconds to the first batch of many shards: index not there, there, and in mid-epoch
    resume    uids after breaking off and resuming on other ranks and workers
    pixels    ours against open_clip's

Every run is a fresh process; the programs take turns.
"""

import json
import shutil
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measure
from stream_corpus import ShardSet, describe, ensure_set

FOLDER = Path(__file__).parent
OURS, PEER = "diagonal", "open_clip_train"
BATCH, WORKERS = 128, 1
SIZES = (256, 512, 1024)
ANTIALIASED = ("Pillow", "torch")
"""Resizes of stream_limits.py that filter before they shrink."""
MB = 1e6
# Threads that wait by spinning would be billed; see the Makefile.
ENVIRONMENT = {"OMP_WAIT_POLICY": "passive", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True, kw_only=True)
class Bench:
    """How much to measure, and where the files go."""

    repeats: int
    work: Path
    quick: bool

    @property
    def sizes(self) -> tuple[int, ...]:
        """Short sides of the pictures."""
        return (SIZES[0], SIZES[-1]) if self.quick else SIZES

    @property
    def index_cache(self) -> Path:
        """Where our loader keeps what it knows of the shards."""
        return self.work / "index"

    def shards(self, short_side: int) -> ShardSet:
        """The set for speed; at 256 pixels large enough for a full shuffle of either program."""
        pictures, shards = {256: (4000, 40), 512: (1000, 8), 1024: (400, 8)}[short_side]
        samples_per_shard = {256: 500, 512: 125, 1024: 50}[short_side]
        if self.quick:
            pictures, samples_per_shard = pictures // 5, samples_per_shard // 5
        return ensure_set(
            self.work,
            short_side=short_side,
            pictures=pictures,
            shards=shards,
            samples_per_shard=samples_per_shard,
        )

    @property
    def many_shards(self) -> ShardSet:
        """A thousand shards; a tenth of them for `quick`."""
        return ensure_set(
            self.work,
            short_side=256,
            pictures=800 if self.quick else 4000,
            shards=100 if self.quick else 1000,
            samples_per_shard=20,
        )

    def marks(self, short_side: int) -> tuple[int, int]:
        """Samples at which counting begins and ends.

        At 256 pixels it begins when open_clip's shuffle buffer is full: before, it reads two
        samples for each that it gives.
        """
        if self.quick:
            return {256: (256, 768), 512: (128, 384), 1024: (128, 256)}[short_side]
        return {256: (4096, 6144), 512: (512, 2048), 1024: (256, 1024)}[short_side]


def run_script(
    bench: Bench, script: str, request: dict[str, Any]
) -> tuple[measure.Usage, dict[str, Any]]:
    """One script in a process of its own: what it used, and what it reports.

    Raises:
        DiagonalError: it failed.
    """
    folder = bench.work / "runs" / f"{script}-{request.get('program', '')}".rstrip("-")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    told = {
        "batch": BATCH,
        "workers": WORKERS,
        "index_cache": str(bench.index_cache.resolve()),
        "report": str(folder / "report.json"),
    }
    command = [sys.executable, str(FOLDER / f"{script}.py"), json.dumps(told | request)]
    usage = measure.run_measured(command, folder, environment=ENVIRONMENT)
    return usage, json.loads((folder / "report.json").read_text())


def speed(bench: Bench) -> dict[str, Any]:
    """Samples per CPU-second of both loaders, by picture size."""
    return {
        "repeats": bench.repeats,
        "batch": BATCH,
        "workers": WORKERS,
        "sizes": {str(size): _speed_of(bench, size) for size in bench.sizes},
    }


def _speed_of(bench: Bench, short_side: int) -> dict[str, Any]:
    shards, (first, last) = bench.shards(short_side), bench.marks(short_side)
    request = {"data": shards.pattern, "first": first, "last": last}
    runs: dict[str, list[tuple[measure.Usage, dict[str, Any]]]] = {PEER: [], OURS: []}
    for _ in range(bench.repeats):
        runs[PEER].append(run_script(bench, "stream_peers", {"program": "open_clip", **request}))
        runs[OURS].append(run_script(bench, "stream_ours", {"program": "loader", **request}))
    programs = {program: _summary(done, last) for program, done in runs.items()}
    return {"set": describe(shards), "first": first, "last": last, "programs": programs}


def _summary(
    runs: Sequence[tuple[measure.Usage, dict[str, Any]]], samples: int
) -> dict[str, float]:
    """Medians over the runs; of memory, the largest."""

    def median(figures: Sequence[float]) -> float:
        return round(statistics.median(figures), 4)

    reports = [report for _, report in runs]
    workers = [worker for report in reports for worker in report["workers"]]
    return {
        "cpu_ms": median([1e3 * one["cpu_seconds"] / one["samples"] for one in reports]),
        "samples_per_cpu_second": median([one["samples"] / one["cpu_seconds"] for one in reports]),
        "samples_per_second": median([one["samples"] / one["wall_seconds"] for one in reports]),
        "cpu_ms_included": median([1e3 * usage.cpu_seconds / samples for usage, _ in runs]),
        "worker_peak_rss_mb": round(max(w["peak_rss_bytes"] for w in workers) / MB),
        "worker_pss_mb": round(max(w["pss_bytes"] for w in workers) / MB),
        "max_rss_mb": round(max(usage.max_rss_bytes for usage, _ in runs) / MB),
    }


def limits(bench: Bench) -> dict[str, Any]:
    """What one core can do at best, and what open_clip's stages take, by picture size."""
    sizes = {}
    for size in bench.sizes:
        shards = bench.shards(size)
        count = min(shards.samples, (200 if bench.quick else 1000) * 256 // size)
        paths = [str(path) for path in shards.paths[:8]]
        sizes[str(size)] = run_script(bench, "stream_limits", {"paths": paths, "samples": count})[
            1
        ] | {"samples": count}
    return {"sizes": sizes}


def raw(bench: Bench) -> dict[str, Any]:
    """Samples per CPU-second without decoding."""
    shards = bench.shards(256)
    programs = {"webdataset": "stream_peers", "wids": "stream_peers", "raw": "stream_ours"}
    # Ours would be over before the clock ticks.
    more = {"webdataset": 1, "wids": 5, "raw": 10}
    rates: dict[str, list[float]] = {program: [] for program in programs}
    for _ in range(bench.repeats):
        for program, script in programs.items():
            request = {
                "program": program,
                "data": shards.pattern,
                "samples_per_shard": shards.samples_per_shard,
                "first": shards.samples // 4,
                "last": shards.samples // 4 + more[program] * shards.samples // 2,
            }
            found = run_script(bench, script, request)[1]
            rates[program].append(found["samples"] / found["cpu_seconds"])
    named = {OURS if name == "raw" else name: found for name, found in rates.items()}
    return {
        "set": describe(shards),
        "samples_per_cpu_second": {
            n: round(statistics.median(found)) for n, found in named.items()
        },
    }


def first(bench: Bench) -> dict[str, Any]:
    """Seconds to the first batch, from the call and of the whole process."""
    shards = bench.many_shards
    half = shards.samples // 2 // BATCH * BATCH
    cases = {
        "diagonal, no index yet": ("stream_ours", "first", 0),
        "diagonal, indexed": ("stream_ours", "first", 0),
        "diagonal, resumed at 50 %": ("stream_ours", "first", half),
        "open_clip_train": ("stream_peers", "open_clip-first", 0),
        "webdataset, resumed at 50 % by skipping": ("stream_peers", "webdataset-resume", half),
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for _ in range(bench.repeats):
        shutil.rmtree(bench.index_cache, ignore_errors=True)
        for name, (script, program, seen) in cases.items():
            request = {"program": program, "data": shards.pattern, "samples_seen": seen}
            usage, found = run_script(bench, script, request)
            taken[name].append((found["seconds"], usage.wall_seconds))
    return {
        "set": describe(shards),
        "seconds": {
            name: {
                "from_the_call": round(statistics.median(call for call, _ in done), 3),
                "whole_process": round(statistics.median(whole for _, whole in done), 3),
            }
            for name, done in taken.items()
        },
    }


def resume(bench: Bench) -> dict[str, Any]:
    """Whether the uids go on as if nothing had happened."""
    request = {"data": bench.shards(256).pattern}
    found = run_script(bench, "stream_ours", {"program": "resume", **request})[1]
    peer = run_script(bench, "stream_peers", {"program": "open_clip-state", **request})[1]
    return {**found, "peer_has_state": peer["state"]}


def pixels(bench: Bench) -> dict[str, Any]:
    """Differences and SSIM, by picture size."""
    count = 40 if bench.quick else 200
    sizes = {}
    for size in bench.sizes:
        paths = [str(path) for path in bench.shards(size).paths]
        request = {"paths": paths, "samples": count}
        sizes[str(size)] = run_script(bench, "stream_pixels", request)[1]
    return {"samples": count, "sizes": sizes}
