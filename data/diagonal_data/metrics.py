"""Prometheus metrics of a build, beside those of any stage (diagonal_infra.stage_metrics).

diagonal_shards_units                             shards this run has to build
diagonal_shards_candidates_total{reason="kept"}   candidates by outcome
diagonal_shards_samples_total                     samples written
diagonal_shards_bytes_total                       bytes of the finished tars
diagonal_shards_finished_total                    shards finished by this run
diagonal_shards_failed_units_total                units given up by this run
"""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge

from diagonal_data.manifest import ShardInfo
from diagonal_infra.metrics_server import OWN

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
        self._units = Gauge(
            "diagonal_shards_units", "Shards this run has to build", registry=self.registry
        )
        self._samples = self._counter("samples", "Samples written")
        self._bytes = self._counter("bytes", "Bytes of finished tars")
        self._finished = self._counter("finished", "Shards finished")
        self._failed = self._counter("failed_units", "Units given up after all attempts")

    def _counter(self, name: str, explanation: str) -> Counter:
        return Counter(f"diagonal_shards_{name}", explanation, registry=self.registry)

    def begin(self, units: int) -> None:
        """So many shards are to be built."""
        self._units.set(units)

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
def shard_metrics() -> Iterator[ShardMetrics]:
    """Metrics that are served for the block, if the command serves any."""
    metrics = ShardMetrics()
    OWN.register(metrics.registry)
    try:
        yield metrics
    finally:
        OWN.unregister(metrics.registry)
