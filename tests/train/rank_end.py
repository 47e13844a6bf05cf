"""One rank that trains, and fails if a replica outlives the process group: its group could hang.

python rank_end.py OUTCOME DATA RUN      OUTCOME is "finished" or "trouble", in the first step
"""

import contextlib
import dataclasses
import gc
import sys

import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from diagonal_infra.errors import DiagonalError
from diagonal_train import loop
from diagonal_train.distributed import from_environment
from diagonal_train.recipes import TRAIN


def main(outcome: str, data: str, run: str) -> None:
    """Train `tiny`; the check stands where the group is destroyed."""
    destroy = dist.destroy_process_group
    left: list[int] = []

    def checked() -> None:
        left.append(sum(type(each) is DistributedDataParallel for each in gc.get_objects()))
        destroy()

    def trouble(job: object, *args: object, **options: object) -> None:
        raise DiagonalError(f"trouble in a step of {job!r:.20}")

    dist.destroy_process_group = checked
    if outcome == "trouble":
        loop.train_step = trouble
    config = dataclasses.replace(TRAIN["tiny"](), data=data, filter="most", run=run)
    with contextlib.suppress(DiagonalError):
        loop.train(config, from_environment())
    assert left == [0], left


if __name__ == "__main__":
    main(*sys.argv[1:])
