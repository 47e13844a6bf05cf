"""A Ray cluster over the hosts of a test's network, started as an administrator would."""

import subprocess
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
    where = {head: ["--head", f"--port={PORT}", "--include-dashboard=false"]}
    where |= {host: [f"--address={head.address}:{PORT}"] for host in others}
    for host, place in where.items():
        log = logs / f"ray-{host.name}.log"
        address = f"--node-ip-address={host.address}"
        words = ["start", *place, address, "--num-cpus=1", *FOLDERS, "--block"]
        process = host.start([sys.executable, "-m", "ray.scripts.scripts", *words], log, node)
        wait_for(lambda: is_up(process, log), log)
    return {**node, "RAY_ADDRESS": f"{head.address}:{PORT}"}


def is_up(process: subprocess.Popen[bytes], log: Path) -> bool:
    """Whether the node has started."""
    said = log.read_text()
    assert process.poll() is None, said
    return "Ray runtime started" in said
