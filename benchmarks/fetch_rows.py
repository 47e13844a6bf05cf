"""The rows on a quick web: each function gives one entry of the JSON; fetch_slow.py has the others.

    base      both programs over the same nginx: CPU, wall, memory; start-up included and excluded
    limits    decode + resize + encode from memory on one core
    refused   as base, 40 % of the images too small or too wide
    quality   SSIM of what the two programs stored

Start-up is excluded by difference: a run of few images, which starts as many workers, is taken from
the run of all of them.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import fetch_quality
from fetch_corpus import MAX_ASPECT, MIN_SIDE, ensure_corpus, statistics_of
from fetch_engines import LOCAL, OURS, PEER, Bench, Run, Settings, check_kept, run_program
from fetch_servers import nginx

LIMITS_SCRIPT = Path(__file__).parent / "fetch_limits.py"
LIMIT_IMAGES = 800
QUALITY_IMAGES = 200
REFUSED_SHARE = 0.4
LARGE_SHARD = 500


def base(bench: Bench) -> dict[str, Any]:
    """Both programs, ours on Ray and in one process."""
    images = bench.usual(bench.images)
    paths = [f"usual/{image.name}" for image in images]
    settings = _settings_for(bench.images)
    found = _compare(bench, "base", paths, settings, (PEER, OURS, LOCAL), kept=1.0)
    return {**found, "corpus": statistics_of(images)}


def refused(bench: Bench) -> dict[str, Any]:
    """The same with limits that two of five images fail."""
    usual = bench.usual(bench.images)
    folder, count = bench.corpora / "refused", round(REFUSED_SHARE * bench.images)
    outside = iter(ensure_corpus(folder, count + 2, refused=True))
    # Places 1 and 3 of every five, so that short and long runs have the same share.
    images = [next(outside) if i % 5 in (1, 3) else image for i, image in enumerate(usual)]
    paths = [
        f"{'refused' if i % 5 in (1, 3) else 'usual'}/{image.name}"
        for i, image in enumerate(images)
    ]
    settings = replace(_settings_for(bench.images), min_side=MIN_SIDE, max_aspect=MAX_ASPECT)
    found = _compare(bench, "refused", paths, settings, (PEER, OURS), kept=1 - REFUSED_SHARE)
    return {**found, "corpus": statistics_of(images)}


def _settings_for(count: int) -> Settings:
    """Shards of 500, or less if not every worker would get one."""
    return Settings(samples_per_shard=max(2, min(LARGE_SHARD, count // 2)))


def _compare(
    bench: Bench,
    name: str,
    paths: Sequence[str],
    settings: Settings,
    programs: Sequence[str],
    *,
    kept: float,
) -> dict[str, Any]:
    """Short and long runs of each program in turn, `repeats` times."""
    pairs: dict[str, list[tuple[Run, Run]]] = {program: [] for program in programs}
    short = replace(settings, samples_per_shard=max(2, bench.small // 2))
    with nginx(bench.corpora) as server:
        urls = [f"http://{server.hosts[0]}/{path}" for path in paths]
        for repeat in range(bench.repeats):
            for program in programs:
                folder = bench.work / "runs" / f"{name}-{program}"
                if repeat == 0:
                    # Not counted: reads the program's libraries from the disk.
                    run_program(program, urls[: bench.small], folder, short, server)
                little = run_program(program, urls[: bench.small], folder, short, server)
                whole = run_program(program, urls, folder, settings, server)
                check_kept(program, whole, kept)
                pairs[program].append((little, whole))
    return {
        "images": bench.images,
        "small": bench.small,
        "repeats": bench.repeats,
        "settings": asdict(settings),
        "programs": {program: _summary(runs) for program, runs in pairs.items()},
    }


def _summary(pairs: Sequence[tuple[Run, Run]]) -> dict[str, float]:
    """Medians over the pairs of a short and a long run; of memory, the largest."""

    def median(figure: Callable[[Run, Run], float]) -> float:
        return round(statistics.median(figure(little, whole) for little, whole in pairs), 3)

    def slope(little: Run, whole: Run) -> float:
        more = whole.images - little.images
        return (whole.usage.cpu_seconds - little.usage.cpu_seconds) / more

    largest = max((whole.usage for _, whole in pairs), key=lambda usage: usage.max_rss_bytes)
    return {
        "cpu_ms_included": median(lambda _, whole: 1e3 * whole.usage.cpu_seconds / whole.images),
        "cpu_ms_excluded": median(lambda little, whole: 1e3 * slope(little, whole)),
        "startup_cpu_seconds": median(
            lambda little, whole: little.usage.cpu_seconds - little.images * slope(little, whole)
        ),
        "images_per_second_included": median(
            lambda _, whole: whole.images / whole.usage.wall_seconds
        ),
        "images_per_second_excluded": median(
            lambda little, whole: (
                (whole.images - little.images)
                / max(1e-3, whole.usage.wall_seconds - little.usage.wall_seconds)
            )
        ),
        "server_cpu_ms": median(
            lambda _, whole: 1e3 * whole.usage.server_cpu_seconds / whole.images
        ),
        "max_rss_mb": round(largest.max_rss_bytes / 1e6),
        "max_pss_mb": round(max(whole.usage.max_pss_bytes for _, whole in pairs) / 1e6),
        "waited_cpu_ms": median(
            lambda _, whole: 1e3 * whole.usage.waited_cpu_seconds / whole.images
        ),
        "sampled_cpu_ms": median(
            lambda _, whole: 1e3 * whole.usage.sampled_cpu_seconds / whole.images
        ),
        "processes": median(lambda _, whole: whole.usage.processes),
        "success_rate": median(lambda _, whole: whole.kept / whole.images),
    }


def limits(bench: Bench) -> dict[str, Any]:
    """The decoders alone, on the files of `base` or an even share of each kind of them."""
    images = sorted(bench.usual(bench.images), key=lambda image: (image.kind, image.name))
    chosen = images[:: max(1, len(images) // LIMIT_IMAGES)]
    done = subprocess.run(
        [sys.executable, str(LIMITS_SCRIPT), str(bench.corpora / "usual")],
        input="\n".join(image.name for image in chosen),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return {"images": len(chosen), "cpu_ms": json.loads(done.stdout)}


def quality(bench: Bench) -> dict[str, Any]:
    """SSIM of ours against img2dataset's own output on the same files."""
    images = bench.usual(min(QUALITY_IMAGES, bench.images))
    runs = bench.work / "runs"
    settings = _settings_for(len(images))
    with nginx(bench.corpora) as server:
        url_of = {image: f"http://{server.hosts[0]}/usual/{image.name}" for image in images}
        for program in (PEER, OURS):
            folder = runs / f"quality-{program}"
            run = run_program(program, list(url_of.values()), folder, settings, server)
            check_kept(program, run, 1.0)
    # img2dataset leaves these as they lie in the file; ours are turned upright.
    turned = {url for image, url in url_of.items() if image.turned}
    return fetch_quality.compare(runs / f"quality-{OURS}", runs / f"quality-{PEER}", turned)
