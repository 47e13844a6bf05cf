"""A real Prometheus with our configuration for tests, and what our dashboards ask it.

The package is prometheus of Debian or Ubuntu.
"""

import json
import os
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[1] / "infra" / "observability"
REQUIRED = "DIAGONAL_NEEDS_PROMETHEUS"
WAIT_SECONDS = 60.0
needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None and REQUIRED not in os.environ,
    reason=f"needs Debian's package prometheus; {REQUIRED}=1 makes its absence a failure",
)


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


def queries(*dashboards: str) -> list[str]:
    """Every query of these dashboards, for all that their variables can be."""
    boards = [
        json.loads((FOLDER / "dashboards" / f"{name}.json").read_text()) for name in dashboards
    ]
    return [
        target["expr"]
        .replace("$__rate_interval", "1m")
        .replace("$run", ".*")
        .replace("$instance", ".*")
        .replace("$stage", ".*")
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
