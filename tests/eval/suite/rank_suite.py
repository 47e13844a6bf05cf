"""The same evaluation by one, two and three ranks: rank_suite.py TASK CHECKPOINT FOLDER.

Writes FOLDER/ranks-1 … ranks-3. Each rank is a child forked from this process, which has imported
all and computed nothing.
"""

import os
import socket
import sys

import torch

from diagonal_eval import features
from diagonal_eval.__main__ import main
from diagonal_eval.sets.config import SetsConfig
from diagonal_eval.suite.config import SuiteConfig

torch.set_num_threads(1)
features.CHUNK = 4


def evaluate(task: str, checkpoint: str, folder: str, world_size: int) -> list[int]:
    """Exit codes of the ranks."""
    config = SuiteConfig(
        checkpoint=checkpoint,
        tasks=(task,),
        output=f"{folder}/ranks-{world_size}",
        sets=SetsConfig(cache=f"{folder}/cache-{world_size}"),
        resamples=100,
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    children = []
    for rank in range(world_size):
        child = os.fork()
        if child == 0:
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world_size)}
            os.environ |= {"LOCAL_RANK": str(rank)}
            code = 1
            try:
                main(config)
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


if __name__ == "__main__":
    task, checkpoint, folder = sys.argv[1:]
    codes = [evaluate(task, checkpoint, folder, world_size) for world_size in (1, 2, 3)]
    sys.exit(any(any(of_world) for of_world in codes))
