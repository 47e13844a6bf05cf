import pytest

from diagonal_infra.planner.config import ClusterModel, Pictures
from diagonal_infra.planner.sweep import sweep, workers_that_help

CLUSTER = ClusterModel(
    workers=(32, 1, 8, 2),
    in_flight=16,
    unit_candidates=200,
    latency_seconds=0.4,
    latency_sigma=0.0,
    hang_share=0.0,
    largest_host_share=0.02,
    host_exponent=2.0,
    fast_hosts=0,
    per_second=5.0,
    seconds=200.0,
)
PICTURES = Pictures(success_share=0.5, cpu_seconds=0.01, kilobytes=125)


def test_rates_rise_until_the_hosts_allow_no_more_and_later_workers_do_not_help() -> None:
    runs = list(sweep(CLUSTER, PICTURES))
    assert [run.workers for run in runs] == [1, 2, 8, 32]
    assert [run.limit for run in runs] == ["latency", "latency", "hosts", "hosts"]
    assert runs[1].candidates_per_second == pytest.approx(80, rel=0.05)
    assert workers_that_help(runs) == 8
