import socket
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress

import pytest
from prometheus_client.parser import text_string_to_metric_families

from diagonal_infra.errors import UserError
from diagonal_train.config.logging import LoggingConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World
from diagonal_train.loop import train
from diagonal_train.watching.prometheus import Prometheus

Build = Callable[..., TrainConfig]
Ports = Callable[[], int]


STEP = ("diagonal_train_step",)


def served(port: int) -> dict[tuple[str, ...], float]:
    """Values by name and labels other than the run's."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return {
            (sample.name, *(value for label, value in sample.labels.items() if label != "run")): (
                sample.value
            )
            for family in families
            for sample in family.samples
        }


def test_the_newest_record_is_served_and_trouble_is_counted(tiny: Build, free_port: Ports) -> None:
    port = free_port()
    tracker = Prometheus(tiny(logging=LoggingConfig(metrics_port=port)))
    before = served(port)
    tracker.log(1, {"loss": 2.5, "skipped": 1, "replaced": 3, "replaced_unreadable": 3})
    tracker.log(2, {"loss": 1.5, "skipped": 1, "replaced": 0, "probe_recall@1": 0.25})
    values = served(port)
    tracker.close()
    assert before["diagonal_train_skipped_steps_total",] == 0
    assert values["diagonal_train_step",] == 2
    assert values["diagonal_train_total_steps",] == 20
    assert values["diagonal_train_loss",] == 1.5
    assert values["diagonal_train_probe_recall_1",] == 0.25
    assert values["diagonal_train_skipped_steps_total",] == 2
    assert values["diagonal_train_replaced_samples_total", "unreadable"] == 3
    assert ("diagonal_train_skipped",) not in values
    with pytest.raises(OSError, match="refused"):
        served(port)


def test_a_run_serves_its_metrics_while_it_trains(tiny: Build, free_port: Ports) -> None:
    port, seen = free_port(), []
    config = tiny(logging=LoggingConfig(tensorboard=False, metrics_port=port), log_every_steps=1)

    def look() -> bool:
        # Called behind each step. The tracker works in a thread, so the first record is waited for.
        deadline = time.monotonic() + 30
        while not seen and time.monotonic() < deadline:
            with suppress(OSError):
                seen.extend(value for key, value in served(port).items() if key == STEP)
        return False

    assert train(config, World(), preempted=look).finished
    assert seen == [1]
    with pytest.raises(OSError, match="refused"):
        served(port)


def test_a_taken_port_is_named_before_the_work_starts(tiny: Build) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        logging = LoggingConfig(metrics_port=taken.getsockname()[1])
        with pytest.raises(UserError, match="choose another --metrics-port"):
            train(tiny(logging=logging, data="unread"), World())
