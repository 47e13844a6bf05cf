"""A dataset built on three Ray nodes, one of which is killed after the first finished shard.

python lost_node.py CANDIDATES DATASET HOST
"""

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster

from diagonal_data.config import ShardsConfig
from diagonal_data.fetch_config import FetchConfig
from diagonal_data.shards import build_dataset
from diagonal_infra import ray_cluster

NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
WAIT_SECONDS = 60.0


def kill_a_node(cluster: Cluster, node: object, dataset: Path) -> None:
    """Kill it once a shard is finished, so that it dies in the middle of another."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not list(dataset.glob("shards/*_stats.json")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    cluster.remove_node(node, allow_graceful=False)


def main(candidates: str, dataset: str, host: str) -> None:
    os.environ |= ray_cluster.ENVIRONMENT
    head = NODE | {"num_cpus": 0, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        # Not 127.0.0.1, which Ray replaces by the machine's own address.
        os.environ["RAY_ADDRESS"] = str(cluster.address)
        nodes = [cluster.add_node(**NODE), cluster.add_node(**NODE)]
        killing = threading.Thread(target=kill_a_node, args=(cluster, nodes[0], Path(dataset)))
        killing.start()
        build_dataset(
            ShardsConfig(
                candidates=candidates,
                dataset=dataset,
                image_size=32,
                samples_per_shard=8,
                workers=2,
                allow_hosts=(host,),
                # The killed worker's slots come back when the longest request would have ended.
                fetch=FetchConfig(timeout_seconds=2.0),
            )
        )
        killing.join()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
