"""What the check of the simulation computes and writes; the measuring is `make bench WHAT=plan`."""

import pytest

import fetch_web
import plan
from fetch_engines import Settings
from fetch_slow import steady_rate

RUN = {"measured": 40.0, "simulated": 42.0, "difference": 0.05, "efficiency": 0.95}


def page_of(**changes: float) -> str:
    runs = {"1": RUN, "4": RUN | changes}
    row = {
        "images_per_worker": 600,
        "in_flight_per_worker": 4,
        "runs": runs,
        "date": "2026-11-24",
        "code_revision": "0123456789abcdef",
    }
    result = {"machine": "two cores", "versions": {"ray": "2"}, "rows": {"agreement": row}}
    return plan.as_markdown(result)


def test_the_goals_are_judged_by_the_worst_run() -> None:
    assert page_of().count(", met") == 2
    assert "widest 20.0%, **not met**" in page_of(difference=-0.2)
    assert "85%, **not met**" in page_of(efficiency=0.85)


def test_the_simulated_latencies_are_those_that_the_server_draws() -> None:
    urls = fetch_web.plan_urls(["a.jpg"] * 400, 8080, plan.HOSTS, trouble=False)
    assert plan.latency_key(urls[1]) == "127.1.0.2/f/a.jpg?1"
    cluster = plan.cluster_of(urls, Settings(samples_per_shard=200, max_in_flight=4))
    assert cluster.latency_seconds == pytest.approx(fetch_web.LATENCY_MEDIAN_SECONDS, rel=0.1)
    assert cluster.latency_sigma == pytest.approx(fetch_web.LATENCY_SIGMA, rel=0.1)


def test_the_simulated_rate_is_slots_over_latency() -> None:
    urls = fetch_web.plan_urls(["a.jpg"] * 400, 8080, plan.HOSTS, trouble=False)
    cluster = plan.cluster_of(urls, Settings(samples_per_shard=200, max_in_flight=4))
    rate = steady_rate(plan.simulated_times(cluster, 1))
    assert rate == pytest.approx(4 / cluster.mean_latency_seconds, rel=0.05)
