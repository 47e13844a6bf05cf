import socket
import urllib.request

import pytest

from diagonal_data.manifest import ShardInfo
from diagonal_data.metrics import ShardMetrics, shard_metrics
from diagonal_infra.errors import UserError

INFO = ShardInfo(
    name="00000000", candidates=5, samples=3, bytes=700, sha256="", reasons={"timed_out": 2}
)


def value(metrics: ShardMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"diagonal_shards_{name}_total", labels)


def test_finished_shards_and_failed_units_are_counted() -> None:
    metrics = ShardMetrics()
    metrics.add(INFO)
    metrics.add(INFO)
    metrics.add_failed(2)
    assert value(metrics, "candidates", reason="kept") == 6
    assert value(metrics, "candidates", reason="timed_out") == 4
    counts = {"samples": 6, "bytes": 1_400, "finished": 2, "failed_units": 2}
    assert {name: value(metrics, name) for name in counts} == counts


def test_they_are_served_on_loopback_for_the_block_only() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    for _ in range(2):
        with shard_metrics(port) as metrics:
            metrics.add(INFO)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                assert b"diagonal_shards_bytes_total 700.0" in answer.read()


def test_a_taken_port_is_the_users_mistake() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match="choose another --metrics-port"):
            shard_metrics(port).__enter__()
