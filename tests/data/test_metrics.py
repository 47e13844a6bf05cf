import socket
import tempfile
import urllib.request
from pathlib import Path

from diagonal_data.config import ShardsConfig
from diagonal_data.manifest import ShardInfo
from diagonal_data.metrics import ShardMetrics, shard_metrics
from diagonal_infra.metrics_server import OWN
from diagonal_infra.stage_metrics import serving_stage

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


def test_they_are_served_with_the_room_on_the_disks_of_a_build(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = ShardsConfig(candidates="", dataset=str(tmp_path), metrics_port=port)
    with serving_stage(config, "shards"), shard_metrics() as metrics:
        metrics.begin(7)
        metrics.add(INFO)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            text = answer.read().decode()
    assert "diagonal_shards_bytes_total 700.0" in text
    assert "diagonal_shards_units 7.0" in text
    for folder in (tmp_path, tempfile.gettempdir()):
        assert f'diagonal_disk_free_bytes{{folder="{folder}"}}' in text
    assert not list(OWN.collect())
