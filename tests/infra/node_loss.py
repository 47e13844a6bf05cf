"""Three Ray nodes on this machine, units on each of them; one node is killed and one is frozen.

    python node_loss.py FOLDER    writes FOLDER/loss.json: what the test asserts

A frozen node still holds its connections and answers nothing, like a machine that lost its power
or network.
"""

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from diagonal_infra import ray_cluster
from diagonal_infra.shared import Shared

UNITS = 6
NODES = 3
SHARED = 5
NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
POLL_SECONDS = 0.05
WAIT_SECONDS = 60.0


def unit(number: int, _: Shared, folder: Path) -> int:
    """Say on which node this runs, wait until the loss has happened; end on other nodes only."""
    node = str(os.getppid())
    with (folder / f"{number}.on").open("a") as file:
        file.write(f"{node}\n")
    wait_for((folder / "lost").exists)
    if node in (folder / "lost").read_text().splitlines():
        # A killed raylet's worker lives on for a moment, and could still hand in its result.
        threading.Event().wait()
    return number


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(POLL_SECONDS)


def raylet(node: Any) -> int:
    """Its process id, which is the parent of the node's workers."""
    return node.all_processes["raylet"][0].process.pid


def lose(folder: Path, cluster: Cluster, nodes: list[Any], noticed: list[float]) -> None:
    """Lose two nodes once every node runs a unit; when Ray has noticed, let the units end."""
    pids = [str(raylet(node)) for node in nodes]
    wait_for(lambda: len({path.read_text() for path in folder.glob("*.on")}) == NODES)
    started = time.monotonic()
    cluster.remove_node(nodes[0], allow_graceful=False)
    freeze(nodes[1])
    wait_for(lambda: sum(each["Alive"] for each in ray.nodes()) == NODES - len(nodes))
    noticed.append(time.monotonic() - started)
    (folder / "lost.partial").write_text("\n".join(pids))
    (folder / "lost.partial").rename(folder / "lost")


def freeze(node: Any) -> None:
    """Stop the node's raylet and its workers, which keep their sockets."""
    pid = raylet(node)
    children = [
        int(entry.name)
        for entry in Path("/proc").glob("[0-9]*")
        if parent_of(entry / "stat") == pid
    ]
    for each in (pid, *children):
        os.kill(each, signal.SIGSTOP)


def parent_of(stat: Path) -> int | None:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


class Where:
    """An object to share."""

    def node(self) -> str:
        """Where it is."""
        return ray.get_runtime_context().get_node_id()


def shared_at_home() -> int:
    """How many shared objects are on the driver's node, and so not lost with another."""
    home = ray.get_runtime_context().get_node_id()
    handles = [ray_cluster.OnRay(Where) for _ in range(SHARED)]
    return sum(asyncio.run(handle.call("node")) == home for handle in handles)


def run(folder: Path, cluster: Cluster, nodes: list[Any]) -> dict[str, Any]:
    """All units, with the loss of `nodes` in between."""
    noticed: list[float] = []
    loss = threading.Thread(target=lose, args=(folder, cluster, nodes, noticed))
    loss.start()
    finished = ray_cluster.map_unordered(
        partial(unit, folder=folder),
        range(UNITS),
        workers=NODES,
        local=False,
        # Not this deadline shall save the units, but Ray's notice of the loss.
        deadline_seconds=10 * WAIT_SECONDS,
    )
    pairs = sorted(finished)
    loss.join()
    lost = set((folder / "lost").read_text().splitlines())
    tries = [path.read_text().splitlines() for path in folder.glob("*.on")]
    return {
        "pairs": pairs,
        "tries_of_lost_units": [len(on) for on in tries if lost & set(on)],
        "noticed_seconds": noticed[0],
    }


def main(folder: Path) -> None:
    os.environ |= ray_cluster.ENVIRONMENT
    cluster = Cluster(initialize_head=True, head_node_args=NODE | {"include_dashboard": False})
    try:
        # Not 127.0.0.1, which Ray replaces by the machine's own address.
        os.environ["RAY_ADDRESS"] = str(cluster.address)
        nodes = [cluster.add_node(**NODE), cluster.add_node(**NODE)]
        with ray_cluster.start(NODES):
            at_home = shared_at_home()
            loss = run(folder, cluster, nodes) | {"shared_at_home": at_home}
        (folder / "loss.json").write_text(json.dumps(loss))
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
