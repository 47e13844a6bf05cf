"""The script in SkyPilot's manifest of fetching, run as two nodes on this machine, with a token."""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from diagonal_data.schema import uid_for

MANIFEST = Path(__file__).parents[2] / "infra" / "cluster" / "sky" / "shards.yaml"
CANDIDATES = 64


def write_candidates(path: Path) -> None:
    """URLs that are refused without a look: this is about who builds their shards."""
    urls = [f"http://127.0.0.1:9/{number}.jpg" for number in range(CANDIDATES)]
    uids = [uid_for(url, "a red bicycle") for url in urls]
    captions = ["a red bicycle"] * CANDIDATES
    pq.write_table(pa.table({"uid": uids, "url": urls, "caption": captions}), path)


def start_node(number: int, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    script = yaml.safe_load(MANIFEST.read_text())["run"].replace("26379", environment["PORT"])
    own = {"SKYPILOT_NODE_RANK": str(number)}
    return subprocess.Popen(
        ["bash", "-c", script], env={**environment, **own}, start_new_session=True
    )


@pytest.mark.slow
@pytest.mark.ray
def test_skypilots_nodes_build_one_dataset(tmp_path: Path, free_port: Callable[[], int]) -> None:
    write_candidates(tmp_path / "candidates.parquet")
    flags = [f"--candidates {tmp_path}/candidates.parquet", f"--dataset {tmp_path}/d"]
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        environment = {
            **os.environ,
            **yaml.safe_load(MANIFEST.read_text())["envs"],
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PORT": str(free_port()),
            # Ray's sockets need a short path.
            "RAY_TMPDIR": folder,
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "SKYPILOT_NODE_IPS": "127.0.0.1\n127.0.0.1",
            "RECIPE": "demo",
            "ARGS": " ".join([*flags, "--samples-per-shard 16"]),
        }
        nodes = [start_node(number, environment) for number in (0, 1)]
        try:
            assert [node.wait(200) for node in nodes] == [0, 0]
        finally:
            for node in nodes:
                with suppress(ProcessLookupError):
                    os.killpg(node.pid, signal.SIGKILL)
    manifest = json.loads((tmp_path / "d" / "manifest.json").read_text())
    assert sum(shard["candidates"] for shard in manifest["shards"]) == CANDIDATES
