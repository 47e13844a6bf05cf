"""Prometheus metrics of a command, served over HTTP while it runs. The only starter of that server.

diagonal_disk_free_bytes{folder="out/d"}   free on the disk of a folder that the command writes to
diagonal_disk_size_bytes{folder="out/d"}   and its size
"""

import shutil
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from diagonal_infra import storage
from diagonal_infra.errors import UserError

LOOPBACK = "127.0.0.1"
OWN = CollectorRegistry()
"""What a command registers for as long as it has metrics of its own beside those of any stage."""


@dataclass(frozen=True, kw_only=True)
class MetricsConfig:
    """Flags of commands that may be watched; never part of what decides their results."""

    metrics_port: int = 0
    """Serve Prometheus metrics on this port while the command runs; 0 is off."""
    metrics_address: str = LOOPBACK
    """Address of this machine on which they are served; 0.0.0.0 is all of them."""


@contextmanager
def serving(
    registry: CollectorRegistry, *, port: int, address: str = LOOPBACK, folders: Iterable[str] = ()
) -> Iterator[None]:
    """Serve a registry's metrics for the block, and the room on the disks of folders.

    Args:
        registry: what is served.
        port: where; 0 serves nothing.
        address: of this machine; 0.0.0.0 is all of them.
        folders: that the command writes to; those on object stores are passed over.

    Raises:
        UserError: the port is taken, or this machine has no such address.
    """
    if not port:
        yield
        return
    registry.register(_Disks(folders))
    try:
        server, thread = start_http_server(port, addr=address, registry=registry)
    except OSError as error:
        raise _refusal(address, port, error) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def check_free(port: int, address: str) -> None:
    """Find out before the work starts whether metrics can be served.

    Raises:
        UserError: the port is taken, or this machine has no such address.
    """
    if port:
        try:
            socket.create_server((address, port)).close()
        except OSError as error:
            raise _refusal(address, port, error) from error


def _refusal(address: str, port: int, error: OSError) -> UserError:
    return UserError(
        f"cannot serve metrics on {address}:{port}: {error}; choose another --metrics-port, or "
        "correct --metrics-address"
    )


class _Disks(Collector):
    """Looks when it is asked."""

    def __init__(self, folders: Iterable[str]) -> None:
        paths = {folder: storage.local_path(folder) for folder in folders}
        self._paths = {folder: path for folder, path in paths.items() if path is not None}

    def collect(self) -> Iterable[Metric]:
        """What is free now; a folder that is not there yet has no value."""
        free = GaugeMetricFamily("diagonal_disk_free_bytes", "Free on the disk", labels=["folder"])
        size = GaugeMetricFamily("diagonal_disk_size_bytes", "Size of the disk", labels=["folder"])
        for folder, path in self._paths.items():
            with suppress(OSError):
                usage = shutil.disk_usage(path)
                free.add_metric([folder], usage.free)
                size.add_metric([folder], usage.total)
        return free, size
