"""A real Prometheus asks our exporters; each query about shards and training gets an answer."""

import time
import urllib.error
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.prometheus_server import (
    WAIT_SECONDS,
    is_answered,
    needs_prometheus,
    prometheus,
    queries,
)

from diagonal_data.config import ShardsConfig
from diagonal_data.manifest import ShardInfo
from diagonal_data.metrics import shard_metrics
from diagonal_infra.stage_metrics import serving_stage
from diagonal_train.config.logging import LoggingConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World
from diagonal_train.loop import train
from diagonal_train.watching.metrics import read_metrics
from diagonal_train.watching.prometheus import Prometheus

Build = Callable[..., TrainConfig]
INFO = ShardInfo(name="0", candidates=5, samples=3, bytes=700, sha256="", reasons={"timed_out": 2})
OF_SEVERAL_RANKS = {"slowest_rank_seconds": 1.5, "median_rank_seconds": 1.0}
OF_BAD_SAMPLES = {"replaced_unreadable": 1.0}


@needs_prometheus
def test_every_query_about_fetching_and_training_is_answered(
    tiny: Build, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    ports = [free_port(), free_port()]
    config = tiny(
        logging=LoggingConfig(tensorboard=False, measure_every_steps=1), log_every_steps=1
    )
    train(config, World())
    # The names are those of a real run's records.
    record = read_metrics(f"{config.run}/metrics.jsonl")[-1] | OF_SEVERAL_RANKS | OF_BAD_SAMPLES
    served = tiny(logging=LoggingConfig(metrics_port=ports[1]))
    shards = ShardsConfig(candidates="", dataset=str(tmp_path), metrics_port=ports[0])
    open_queries = queries("fetching", "training")
    assert len(open_queries) > 25
    tracker = Prometheus(served)
    with (
        serving_stage(shards, "shards"),
        shard_metrics() as metrics,
        prometheus(tmp_path, free_port(), ports) as address,
    ):
        metrics.begin(10)
        deadline = time.monotonic() + WAIT_SECONDS
        while open_queries and time.monotonic() < deadline:
            metrics.add(INFO)
            tracker.log(1, record)
            with suppress(ConnectionError, urllib.error.URLError):
                open_queries = [q for q in open_queries if not is_answered(address, q)]
            time.sleep(0.5)
        assert not is_answered(address, "diagonal_train_misspelt")
    tracker.close()
    assert not open_queries
