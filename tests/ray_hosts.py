"""A Ray cluster over the hosts of a test's network, started as an administrator would."""

import sys
from collections.abc import Mapping
from pathlib import Path

from tests.network import Host
from tests.slurm_cluster import wait_for

from diagonal_infra.ray_environment import ENVIRONMENT

PORT = 6379
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "t" * 32}
# Memory of the host's own, which ends with it.
FOLDERS = ["--temp-dir=/dev/shm/ray", f"--object-store-memory={80 * 2**20}"]


def start_ray(
    head: Host, others: list[Host], logs: Path, environment: Mapping[str, str] | None = None
) -> dict[str, str]:
    """A node of one CPU on each host, with these variables; those of a driver on the head."""
    node = {**ENVIRONMENT, **TOKEN, **(environment or {})}
    start_node(head, ["--head", f"--port={PORT}", "--include-dashboard=false"], logs, node)
    for host in others:
        start_node(host, [f"--address={head.address}:{PORT}"], logs, node)
    return {**node, "RAY_ADDRESS": f"{head.address}:{PORT}"}


def start_node(host: Host, place: list[str], logs: Path, environment: Mapping[str, str]) -> None:
    """Start one and wait until it is up."""
    log = logs / f"ray-{host.name}.log"
    own = [f"--node-ip-address={host.address}", "--num-cpus=1", *FOLDERS, "--block"]
    words = [sys.executable, "-m", "ray.scripts.scripts", "start", *place, *own]
    process = host.start(words, log, environment)

    def is_up() -> bool:
        assert process.poll() is None, log.read_text()
        return "Ray runtime started" in log.read_text()

    wait_for(is_up, log)
