"""The rows on a slow web: wall clock where much fails, and how workers add up.

    slow      both programs where 8 % hang, 10 % are missing, 3 % have no address
    scaling   1, 2, 4 workers of ours on a web that is only slow

The web is fetch_web.py's, in a process of its own.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import fetch_web
from fetch_engines import OURS, PEER, Bench, Settings, check_kept, run_program
from fetch_servers import Server, answer_times, slow_web

SLOW_URLS, SLOW_SHARD = 6_000, 500
"""So many that what is measured is throughput, and not the wait for the last URL that hangs."""
STARTS = 2
"""Runs of the slow row that stand for start-up; the shorter counts."""
SCALING_WORKERS, SCALING_IN_FLIGHT, SCALING_HOSTS = (1, 2, 4), 4, 8
STEADY = (0.2, 0.8)
"""The part of a scaling run that counts: between these shares of its answers."""
PEER_MANY_THREADS = 256
"""img2dataset's own default; the other rows have 64, which costs it no more CPU."""


def slow(bench: Bench) -> dict[str, Any]:
    """Wall clock over a slow web where one URL in five fails; no retries, equal timeouts."""
    names = [image.name for image in bench.usual(bench.images)]
    count = min(SLOW_URLS, 4 * len(names))
    names = (names * 4)[:count]
    hosts = fetch_web.host_count(count)
    settings = Settings(samples_per_shard=max(2, min(SLOW_SHARD, count // 4)))
    many = replace(settings, peer_threads=PEER_MANY_THREADS)
    found = {}
    with slow_web(bench.corpora / "usual", hosts) as server:
        urls = fetch_web.plan_urls(names, server.port, hosts, trouble=True)
        for label, program, chosen in (
            (f"{PEER}, 64 threads", PEER, settings),
            (f"{PEER}, {PEER_MANY_THREADS} threads", PEER, many),
            (OURS, OURS, settings),
        ):
            found[label] = _slow_run(bench, program, urls, chosen, server)
    return {
        "images": count,
        "hosts": hosts,
        "settings": asdict(settings),
        "programs": found,
    }


def _slow_run(
    bench: Bench, program: str, urls: Sequence[str], settings: Settings, server: Server
) -> dict[str, float]:
    folder = bench.work / "runs" / f"slow-{program}"
    # The same start with good URLs only; the files are few, so this is start-up and one latency.
    good = [url for url in urls if "/f/" in url][: 4 * settings.workers]
    short = replace(settings, samples_per_shard=4)
    starts = [run_program(program, good, folder, short, server) for _ in range(STARTS)]
    startup = min(start.usage.wall_seconds for start in starts)
    run = run_program(program, urls, folder, settings, server)
    wall = run.usage.wall_seconds
    return {
        "kept": run.kept,
        "success_rate": round(run.kept / run.images, 3),
        "wall_seconds": wall,
        "startup_wall_seconds": startup,
        "kept_per_second_included": round(run.kept / wall, 2),
        "kept_per_second_excluded": round(run.kept / max(1e-3, wall - startup), 2),
        "cpu_ms_included": round(1e3 * run.usage.cpu_seconds / run.images, 3),
        "server_cpu_ms": round(1e3 * run.usage.server_cpu_seconds / run.images, 3),
    }


def scaling(bench: Bench) -> dict[str, Any]:
    """Answers per second at 1, 2 and 4 workers, few in flight each, so that the web is the limit.

    Each worker gets as many images as the one did. Small files: CPU is not what is measured here.
    """
    per_worker = max(100, bench.images // 8)
    usual = sorted(bench.usual(bench.images), key=lambda image: image.size_bytes)
    smallest = [image.name for image in usual if image.kind.startswith("jpeg")][: per_worker // 2]
    rates: dict[int, float] = {}
    with slow_web(bench.corpora / "usual", SCALING_HOSTS) as server:
        for workers in SCALING_WORKERS:
            count = per_worker * workers
            names = (smallest * (count // len(smallest) + 1))[:count]
            urls = fetch_web.plan_urls(names, server.port, SCALING_HOSTS, trouble=False)
            settings = Settings(
                workers=workers,
                samples_per_shard=per_worker // 2,
                max_in_flight=SCALING_IN_FLIGHT,
            )
            folder = bench.work / "runs" / f"scaling-{workers}"
            check_kept(OURS, run_program(OURS, urls, folder, settings, server), 1.0)
            rates[workers] = round(steady_rate(answer_times(server)), 2)
    return {
        "images_per_worker": per_worker,
        "in_flight_per_worker": SCALING_IN_FLIGHT,
        "answers_per_second": {str(workers): rate for workers, rate in rates.items()},
        "efficiency": {
            str(workers): round(rate / (workers * rates[1]), 3) for workers, rate in rates.items()
        },
    }


def steady_rate(times: Sequence[float]) -> float:
    """Answers per second in the middle of a run: workers start one after the other."""
    ordered = sorted(times)
    first, last = (int(share * (len(ordered) - 1)) for share in STEADY)
    return (last - first) / (ordered[last] - ordered[first])
