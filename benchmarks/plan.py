"""The planner's simulation against the real fetcher, on a slow web on loopback.

    make bench WHAT=plan [ARGS="--images 600"]

Runs `make shards` on Ray with 1, 2 and 4 workers over a web whose every answer takes its time, few
requests in flight, so that latency is the limit; simulates the same cluster with the latencies of
the same URLs; writes benchmarks/results/plan_<cpu>_<yyyy-mm>.json and .md. Rates are of the middle
of a run, by the server's clock: workers start one after the other.
"""

import argparse
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import comparison
import fetch_web
import machine
from diagonal_infra.planner.config import ClusterModel, Pictures
from diagonal_infra.planner.outcome import Simulated
from diagonal_infra.planner.simulation import simulate
from fetch_engines import OURS, Bench, Settings, check_kept, run_program
from fetch_servers import answer_times, slow_web
from fetch_slow import steady_rate

WORKERS = (1, 2, 4)
IN_FLIGHT, HOSTS = 4, 8
UNITS_PER_WORKER = 2
PICTURES = 200
"""Of the corpus, the smallest half of whose JPEG is served: CPU is not what is measured."""
CPU_SECONDS = 0.002
"""Of one of these files; any small number gives the same rate."""
STEP_SECONDS = 0.01
GOAL_DIFFERENCE, GOAL_EFFICIENCY = 0.15, 0.90


def agreement(work: Path, images: int) -> dict[str, Any]:
    """Measured and simulated answers a second."""
    bench = Bench(images=PICTURES, small=0, repeats=1, work=work)
    usual = sorted(bench.usual(PICTURES), key=lambda image: image.size_bytes)
    smallest = [image.name for image in usual if image.kind.startswith("jpeg")][: PICTURES // 4]
    runs: dict[str, dict[str, float]] = {}
    with slow_web(bench.corpora / "usual", HOSTS) as server:
        for workers in WORKERS:
            count = images * workers
            names = (smallest * (count // len(smallest) + 1))[:count]
            urls = fetch_web.plan_urls(names, server.port, HOSTS, trouble=False)
            settings = Settings(
                workers=workers,
                samples_per_shard=images // UNITS_PER_WORKER,
                max_in_flight=IN_FLIGHT,
            )
            folder = work / "runs" / f"plan-{workers}"
            check_kept(OURS, run_program(OURS, urls, folder, settings, server), 1.0)
            measured = steady_rate(answer_times(server))
            simulated = steady_rate(simulated_times(cluster_of(urls, settings), workers))
            runs[str(workers)] = {
                "measured": round(measured, 2),
                "simulated": round(simulated, 2),
                "difference": round(simulated / measured - 1, 3),
            }
    alone = runs["1"]["measured"]
    for workers, run in runs.items():
        run["efficiency"] = round(run["measured"] / (int(workers) * alone), 3)
    return {"images_per_worker": images, "in_flight_per_worker": IN_FLIGHT, "runs": runs}


def cluster_of(urls: Sequence[str], settings: Settings) -> ClusterModel:
    """What is simulated: the settings of the run and the latencies of its URLs."""
    logs = [math.log(fetch_web.latency_seconds(latency_key(url))) for url in urls]
    assert settings.max_in_flight is not None, "the runs set it"
    return ClusterModel(
        in_flight=settings.max_in_flight,
        unit_candidates=settings.samples_per_shard,
        latency_seconds=math.exp(statistics.mean(logs)),
        latency_sigma=statistics.stdev(logs),
        hang_share=0.0,
        hang_seconds=1.0,
        # The same number of hosts, on which loopback has no rate.
        largest_host_share=1 / HOSTS,
        host_exponent=0.0,
        fast_hosts=0,
        per_second=0.0,
        per_host=settings.max_per_host,
        preemptions_per_hour=0.0,
        step_seconds=STEP_SECONDS,
    )


def latency_key(url: str) -> str:
    """What fetch_web.py draws a URL's latency from: host without port, and path."""
    host, _, path = url.removeprefix("http://").partition("/")
    return f"{host.partition(':')[0]}/{path}"


def simulated_times(cluster: ClusterModel, workers: int) -> list[float]:
    """When the pictures of a simulated run arrive."""
    pictures = Pictures(success_share=1.0, cpu_seconds=CPU_SECONDS, kilobytes=10.0)
    run: Simulated = simulate(cluster, pictures, workers, units=UNITS_PER_WORKER * workers)
    return np.repeat(np.arange(len(run.answers)) * run.step_seconds, run.answers).tolist()


def as_markdown(result: Mapping[str, Any]) -> str:
    """The page."""
    row = result["rows"]["agreement"]
    head = "| workers | measured, pictures/s | simulated | difference | efficiency |\n" + "|---" * 5
    lines = [
        f"| {workers} | {run['measured']:.1f} | {run['simulated']:.1f} "
        f"| {run['difference']:+.1%} | {run['efficiency']:.0%} |"
        for workers, run in row["runs"].items()
    ]
    widest = max(abs(run["difference"]) for run in row["runs"].values())
    efficiency = row["runs"][str(max(WORKERS))]["efficiency"]
    goals = [
        f"- simulation within {GOAL_DIFFERENCE:.0%} of measurement: widest {widest:.1%}, "
        + _verdict(widest <= GOAL_DIFFERENCE),
        f"- efficiency of {max(WORKERS)} workers, latency-bound, at least {GOAL_EFFICIENCY:.0%}: "
        f"{efficiency:.0%}, " + _verdict(efficiency >= GOAL_EFFICIENCY),
    ]
    told = (
        f"{row['in_flight_per_worker']} requests in flight and {row['images_per_worker']} pictures "
        "a worker, in two units; latency log-normal, median 150 ms, sigma 0.5; the simulation has "
        "the latencies of the same URLs."
    )
    parts = [
        "# The simulated cluster against the real fetcher",
        f"Machine: {result['machine']}. Versions: {comparison.packages(result)}.",
        comparison.measured_on(result["rows"]),
        told,
        "\n".join([f"{head}|", *lines]),
        "\n".join(goals),
    ]
    return "\n\n".join(parts) + "\n"


def _verdict(met: bool) -> str:
    return "met" if met else "**not met**"


def main(args: Sequence[str] | None = None) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=600, help="pictures per worker")
    parser.add_argument("--work", type=Path, default=Path("out/bench"), help="corpus and runs")
    parser.add_argument(
        "--out", type=Path, default=machine.RESULTS / machine.result_stem("plan"), help="results"
    )
    given = parser.parse_args(args)
    if given.images < 40:
        parser.error(f"--images must be at least 40, got {given.images}")
    rows = {"agreement": partial(agreement, given.work, given.images)}
    target = given.out.with_suffix(".json")
    return comparison.measure_rows(rows, target, ("ray", "aiohttp", "numpy"), as_markdown)


if __name__ == "__main__":
    sys.exit(main())
