"""The newest record of a run, for Prometheus to ask for; rank 0 serves it.

diagonal_train_NAME{run="b32"}                            each number of the newest record
diagonal_train_total_steps{run="b32"}                     steps of the whole run
diagonal_train_skipped_steps_total{run="b32"}             without a finite loss and gradient
diagonal_train_replaced_samples_total{run="b32",cause=…}  bad samples that others stand in for
"""

import re
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import PurePath

from prometheus_client import CollectorRegistry, Counter, Gauge

from diagonal_infra.metrics_server import serving
from diagonal_train.config.train import TrainConfig

REPLACED = "replaced_"


class Prometheus:
    """A tracker that waits to be asked. Counts begin anew when a run goes on."""

    def __init__(self, config: TrainConfig) -> None:
        self._registry = CollectorRegistry()
        self._run = PurePath(config.run).name
        self._gauges: dict[str, Gauge] = {}
        self._skipped = Counter(
            "diagonal_train_skipped_steps",
            "Steps whose loss or gradient was not finite",
            ["run"],
            registry=self._registry,
        ).labels(self._run)
        self._replaced = Counter(
            "diagonal_train_replaced_samples",
            "Bad samples that others stand in for",
            ["run", "cause"],
            registry=self._registry,
        )
        self._set("total_steps", config.total_steps)
        self._stack = ExitStack()
        where = config.logging
        self._stack.enter_context(
            serving(
                self._registry,
                port=where.metrics_port,
                address=where.metrics_address,
                folders=[config.run],
            )
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add one record."""
        self._set("step", step)
        for name, value in values.items():
            if name == "skipped":
                self._skipped.inc(value)
            elif name.startswith(REPLACED):
                self._replaced.labels(self._run, name.removeprefix(REPLACED)).inc(value)
            elif name != "replaced":
                self._set(name, value)

    def close(self) -> None:
        """Serve nothing any more."""
        self._stack.close()

    def _set(self, name: str, value: float) -> None:
        name = re.sub(r"\W", "_", name)
        if name not in self._gauges:
            self._gauges[name] = Gauge(
                f"diagonal_train_{name}",
                f"{name} of the newest record",
                ["run"],
                registry=self._registry,
            )
        self._gauges[name].labels(self._run).set(value)
