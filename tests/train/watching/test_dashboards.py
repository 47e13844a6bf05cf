"""A real Prometheus asks our exporters, and every query of every dashboard gets an answer."""

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from diagonal_data.config import ShardsConfig
from diagonal_data.manifest import ShardInfo
from diagonal_data.metrics import shard_metrics
from diagonal_train.config.logging import LoggingConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World
from diagonal_train.loop import train
from diagonal_train.watching.metrics import read_metrics
from diagonal_train.watching.prometheus import Prometheus

Build = Callable[..., TrainConfig]
FOLDER = Path(__file__).parents[3] / "infra" / "observability"
REQUIRED = "DIAGONAL_NEEDS_PROMETHEUS"
WAIT_SECONDS = 60.0
INFO = ShardInfo(name="0", candidates=5, samples=3, bytes=700, sha256="", reasons={"timed_out": 2})
OF_SEVERAL_RANKS = {"slowest_rank_seconds": 1.5, "median_rank_seconds": 1.0}
OF_BAD_SAMPLES = {"replaced_unreadable": 1.0}


@contextmanager
def prometheus(folder: Path, port: int, targets: list[int]) -> Iterator[str]:
    """The address of a server with our configuration, which asks these ports, and often."""
    settings: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    settings["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
    settings["rule_files"] = [str(FOLDER / "rules.yml")]
    (job,) = settings["scrape_configs"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{port}" for port in targets]}]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(settings))
    address = f"127.0.0.1:{port}"
    command = ["prometheus", "--config.file", str(file), "--storage.tsdb.path", str(folder / "db")]
    process = subprocess.Popen([*command, "--web.listen-address", address, "--log.level=error"])
    try:
        yield address
    finally:
        process.terminate()
        process.wait(30)


def queries() -> list[str]:
    boards = [json.loads(path.read_text()) for path in (FOLDER / "dashboards").glob("*.json")]
    return [
        target["expr"]
        .replace("$__rate_interval", "1m")
        .replace("$run", ".*")
        .replace("$instance", ".*")
        for board in boards
        for panel in board["panels"]
        for target in panel["targets"]
    ]


def is_answered(address: str, query: str) -> bool:
    """Whether there is data; a query that is wrong is an error."""
    with urllib.request.urlopen(
        f"http://{address}/api/v1/query?{urllib.parse.urlencode({'query': query})}", timeout=10
    ) as answer:
        return bool(json.load(answer)["data"]["result"])


@pytest.mark.skipif(
    shutil.which("prometheus") is None and REQUIRED not in os.environ,
    reason=f"needs Debian's package prometheus; {REQUIRED}=1 makes its absence a failure",
)
def test_every_query_of_the_dashboards_is_answered(
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
    open_queries = queries()
    assert len(open_queries) > 25
    tracker = Prometheus(served)
    with shard_metrics(shards) as metrics, prometheus(tmp_path, free_port(), ports) as address:
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
