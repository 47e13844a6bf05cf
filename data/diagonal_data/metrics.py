"""Prometheus metrics of a build, served on loopback while it runs.

diagonal_shards_candidates_total{reason="kept"}   candidates by outcome
diagonal_shards_samples_total                     samples written
diagonal_shards_bytes_total                       bytes of the finished tars
diagonal_shards_finished_total                    shards finished by this run
diagonal_shards_failed_units_total                units given up by this run
"""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, start_http_server

from diagonal_data.manifest import ShardInfo
from diagonal_infra.errors import UserError

ADDRESS = "127.0.0.1"
KEPT = "kept"


class ShardMetrics:
    """Counters of one run, fed with what the driver hears of finished shards."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._candidates = Counter(
            "diagonal_shards_candidates",
            "Candidates by outcome: kept, or the reason why not",
            ["reason"],
            registry=self.registry,
        )
        self._samples = self._counter("samples", "Samples written")
        self._bytes = self._counter("bytes", "Bytes of finished tars")
        self._finished = self._counter("finished", "Shards finished")
        self._failed = self._counter("failed_units", "Units given up after all attempts")

    def _counter(self, name: str, explanation: str) -> Counter:
        return Counter(f"diagonal_shards_{name}", explanation, registry=self.registry)

    def add(self, info: ShardInfo) -> None:
        """Count a finished shard."""
        for reason, count in {KEPT: info.samples, **info.reasons}.items():
            self._candidates.labels(reason).inc(count)
        self._samples.inc(info.samples)
        self._bytes.inc(info.bytes)
        self._finished.inc()

    def add_failed(self, units: int) -> None:
        """Count units that were given up."""
        self._failed.inc(units)


@contextmanager
def shard_metrics(port: int) -> Iterator[ShardMetrics]:
    """Metrics that are served on that port of 127.0.0.1 for the block; 0 serves none.

    Raises:
        UserError: the port is taken.
    """
    metrics = ShardMetrics()
    if not port:
        yield metrics
        return
    try:
        server, thread = start_http_server(port, addr=ADDRESS, registry=metrics.registry)
    except OSError as error:
        raise UserError(
            f"cannot serve metrics on {ADDRESS}:{port}: {error}; choose another --metrics-port"
        ) from error
    try:
        yield metrics
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
