"""Prometheus metrics of any command, served while it runs: `--metrics-port`.

diagonal_stage_units{stage="scores",part="scoring shards"}     work of a part, as its bar counts it
diagonal_stage_done_units_total{stage=…,part=…}                done; candidates: by earlier runs too
diagonal_stage_tries_total{stage=…,outcome="finished"}         tries of units: failed, overdue, lost
diagonal_stage_given_up_units_total{stage=…}                   units that failed in all their tries
diagonal_stage_longest_unit_seconds{stage=…}                   how long the oldest unit runs by now
diagonal_stage_median_unit_seconds{stage=…}                    of those that finished lately
diagonal_stage_items_total{stage=…,kind="pages",outcome="read"}    what became of things
diagonal_stage_model_seconds_total{stage=…}                    a model worked or waited
diagonal_stage_wait_seconds_total{stage=…}                     it waited for data

Only the process that was started serves them; of several ranks the first.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from diagonal_infra import tally
from diagonal_infra.metrics_server import OWN, MetricsConfig, serving
from diagonal_infra.run_dir import RESULTS

Labels = tuple[str, ...]
Values = Mapping[Labels, float]
Family = type[GaugeMetricFamily] | type[CounterMetricFamily]


@contextmanager
def serving_stage(config: object, stage: str) -> Iterator[None]:
    """Serve what a command does, and the room on its disks, for the block.

    Args:
        config: the command's; one that is no `MetricsConfig` serves nothing.
        stage: the label.

    Raises:
        UserError: the port is taken, or this machine has no such address.
    """
    count = tally.begin_anew()
    if not isinstance(config, MetricsConfig) or os.environ.get("RANK", "0") != "0":
        yield
        return
    registry = CollectorRegistry()
    registry.register(_Stage(stage, count))
    registry.register(OWN)
    # Files wait in the folder for temporary ones until they are written as a whole.
    folders = [tempfile.gettempdir()]
    folders += [value for name in RESULTS if isinstance(value := getattr(config, name, None), str)]
    with serving(
        registry, port=config.metrics_port, address=config.metrics_address, folders=folders
    ):
        yield


class _Stage(Collector):
    """Looks when it is asked."""

    def __init__(self, stage: str, count: tally.Tally) -> None:
        self._stage = stage
        self._count = count

    def collect(self) -> Iterable[Metric]:
        """All of them now; what has no label of its own is there from the start, as 0."""
        count, parts = self._count, self._count.parts()
        units = {(name,): part.units for name, part in parts.items()}
        done = {(name,): part.done for name, part in parts.items()}
        yield self._gauge("units", "Units of work", units, "part")
        yield self._counter("done_units", "Units done", done, "part")
        tries = {(outcome,): count.tries[outcome] for outcome in get_args(tally.Try)}
        yield self._counter("tries", "Tries of units", tries, "outcome")
        yield self._counter("items", "What became of things", count.items.copy(), "kind", "outcome")
        yield self._counter("given_up_units", "Failed in all tries", {(): count.given_up_units})
        yield self._counter("model_seconds", "A model worked or waited", {(): count.model_seconds})
        yield self._counter("wait_seconds", "It waited for data", {(): count.wait_seconds})
        longest, median = count.longest_unit_seconds(), count.median_unit_seconds()
        yield self._gauge("longest_unit_seconds", "Oldest unit under way", {(): longest})
        yield self._gauge("median_unit_seconds", "Units that finished lately", {(): median})

    def _gauge(self, name: str, text: str, values: Values, *labels: str) -> Metric:
        return self._filled(GaugeMetricFamily, name, text, values, labels)

    def _counter(self, name: str, text: str, values: Values, *labels: str) -> Metric:
        return self._filled(CounterMetricFamily, name, text, values, labels)

    def _filled(self, kind: Family, name: str, text: str, values: Values, labels: Labels) -> Metric:
        family = kind(f"diagonal_stage_{name}", text, labels=["stage", *labels])
        for key, value in values.items():
            family.add_metric([self._stage, *key], value)
        return family
