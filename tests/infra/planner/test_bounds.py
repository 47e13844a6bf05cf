import pytest

from diagonal_infra.planner.bounds import bounds
from diagonal_infra.planner.config import ClusterModel, Pictures


def test_each_resource_alone_allows_what_arithmetic_says() -> None:
    cluster = ClusterModel(
        in_flight=16,
        latency_seconds=0.4,
        latency_sigma=0.0,
        hang_share=0.0,
        largest_host_share=0.02,
        host_exponent=2.0,
        fast_hosts=0,
        per_second=5.0,
        uplink_gigabits=1,
    )
    pictures = Pictures(success_share=0.5, cpu_seconds=0.01, kilobytes=125)
    assert bounds(cluster, pictures, 2) == {
        "cpu": pytest.approx(400),
        "latency": pytest.approx(80),
        "hosts": pytest.approx(250),
        "bandwidth": pytest.approx(2_000),
    }
