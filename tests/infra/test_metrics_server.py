import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge

from diagonal_infra.errors import UserError
from diagonal_infra.metrics_server import check_free, serving

Ports = Callable[[], int]


def served(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return answer.read().decode()


def test_metrics_are_served_for_the_block_only(free_port: Ports) -> None:
    port = free_port()
    for number in (1.0, 2.0):
        registry = CollectorRegistry()
        Gauge("diagonal_number", "A number", registry=registry).set(number)
        with serving(registry, port=port):
            assert f"diagonal_number {number}" in served(port)
    with pytest.raises(OSError, match="refused"):
        served(port)


def test_the_disks_of_local_folders_are_measured_when_asked(
    tmp_path: Path, free_port: Ports
) -> None:
    port, late = free_port(), tmp_path / "late"
    folders = [str(tmp_path), str(late), "s3://bucket/run"]
    with serving(CollectorRegistry(), port=port, folders=folders):
        first = served(port)
        assert f'diagonal_disk_free_bytes{{folder="{tmp_path}"}}' in first
        assert f'diagonal_disk_size_bytes{{folder="{tmp_path}"}}' in first
        assert "late" not in first
        assert "bucket" not in first
        late.mkdir()
        assert f'diagonal_disk_free_bytes{{folder="{late}"}}' in served(port)


def test_port_0_serves_nothing() -> None:
    registry = CollectorRegistry()
    check_free(0, "127.0.0.1")
    with serving(registry, port=0):
        assert not list(registry.collect())


@pytest.mark.parametrize("address", ["127.0.0.1", "192.0.2.1"])
def test_a_taken_port_or_a_foreign_address_is_the_users_mistake(address: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match="choose another --metrics-port"):
            serving(CollectorRegistry(), port=port, address=address).__enter__()
        with pytest.raises(UserError, match="correct --metrics-address"):
            check_free(port, address)
