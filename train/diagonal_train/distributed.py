"""Ranks, devices and the few collectives the loop needs: gloo on CPU, NCCL on CUDA."""

import os
import re
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar, cast

import torch
import torch.distributed as dist

# First imported while a process group exists, as `torch._dynamo` and so DistributedDataParallel do,
# it keeps that group in its defaults: gloo's threads then outlive the interpreter and may abort it.
import torch.distributed.nn.functional
from torch import Tensor

from diagonal_infra.errors import DiagonalError, UserError
from diagonal_train.recovering.watchdog import collective

CPU = torch.device("cpu")
FIRST_PORT, PORTS = 20_000, 10_000
"""Where the ranks of a Slurm job meet; above Ray's, below the kernel's own."""
Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class World:
    """Which of how many processes this is, and what it computes on."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    device: torch.device = CPU

    @property
    def is_main(self) -> bool:
        """Whether this rank writes files and logs."""
        return self.rank == 0


def from_environment() -> World:
    """The world that torchrun or srun describes; one process without either."""
    if "RANK" not in os.environ and int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        for name, value in torchrun_names(os.environ).items():
            os.environ.setdefault(name, value)
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    return World(
        rank=int(os.environ.get("RANK", "0")),
        world_size=int(os.environ.get("WORLD_SIZE", "1")),
        local_rank=local_rank,
        device=device_for(local_rank),
    )


def torchrun_names(slurm: Mapping[str, str]) -> dict[str, str]:
    """What srun says of a task, under the names that torchrun has for it.

    An allocation in which nothing was started by srun (`sbatch` runs its script so) is one process.
    """
    if "SLURM_PROCID" not in slurm or "SLURM_STEP_ID" not in slurm:
        return {}
    nodes = slurm.get("SLURM_STEP_NODELIST") or slurm["SLURM_NODELIST"]
    return {
        "RANK": slurm["SLURM_PROCID"],
        "WORLD_SIZE": slurm["SLURM_NTASKS"],
        "LOCAL_RANK": slurm["SLURM_LOCALID"],
        "MASTER_ADDR": first_host(nodes),
        "MASTER_PORT": str(FIRST_PORT + int(slurm["SLURM_JOB_ID"]) % PORTS),
    }


def first_host(nodes: str) -> str:
    """Of Slurm's list: `gpu[03-05,09],cpu1` begins with `gpu03`."""
    first = re.match(r"([^,\[]+)(?:\[([^\],-]+)[^\]]*\]([^,]*))?", nodes)
    if first is None:
        raise UserError(f"SLURM_NODELIST {nodes!r} names no host; set MASTER_ADDR")
    return "".join(part or "" for part in first.groups())


def device_for(local_rank: int) -> torch.device:
    """The local rank's own CUDA device, or the CPU."""
    return torch.device("cuda", local_rank) if torch.cuda.is_available() else CPU


def in_process_group(
    world: World, function: Callable[[], Value], *, timeout_seconds: float = 1800.0
) -> Value:
    """What the function returns, called in a process group if there are several ranks.

    Collectives fail after the timeout. A group that exists is left alone. A DistributedDataParallel
    of the function must be gone when it returns: a reducer that is freed last frees the group too,
    and that waits for gloo's threads while it holds the GIL they may be waiting for. Freed here,
    the group waits without the GIL.
    """
    if world.device.type == "cuda":
        torch.cuda.set_device(world.device)
    if world.world_size == 1 or dist.is_initialized():
        return function()
    backend = "nccl" if world.device.type == "cuda" else "gloo"
    dist.init_process_group(
        backend,
        rank=world.rank,
        world_size=world.world_size,
        timeout=timedelta(seconds=timeout_seconds),
    )
    try:
        return function()
    except BaseException as error:
        _clear_frames(error)
        raise
    finally:
        dist.destroy_process_group()


def _clear_frames(error: BaseException | None) -> None:
    """Free what the functions that raised an error still hold."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def barrier() -> None:
    """Wait for all ranks."""
    if dist.is_initialized():
        with collective("barrier"):
            dist.barrier()


def sum_over_ranks(values: Tensor) -> Tensor:
    """The sum of a small tensor over all ranks, in place."""
    if dist.is_initialized():
        with collective("sum over ranks"):
            dist.all_reduce(values)
    return values


def largest(values: Tensor) -> Tensor:
    """The largest over all ranks of each value of a small tensor, in place."""
    if dist.is_initialized():
        with collective("largest over ranks"):
            dist.all_reduce(values, dist.ReduceOp.MAX)
    return values


def agreed(function: Callable[[], Value], world: World) -> Value:
    """What the function returns on rank 0, on every rank; trouble there is raised everywhere.

    Raises:
        DiagonalError: what the function raised on rank 0.
    """
    box: list[Value | DiagonalError | None] = [None]
    if world.is_main:
        try:
            box = [function()]
        except DiagonalError as error:
            box = [error]
    if dist.is_initialized():
        with collective("wait for rank 0"):
            dist.broadcast_object_list(box)
    if isinstance(box[0], DiagonalError):
        raise box[0]
    return cast("Value", box[0])


def from_all(value: Value) -> list[Value]:
    """Every rank's value, in rank order."""
    if not dist.is_initialized():
        return [value]
    boxes: list[Value] = [value] * dist.get_world_size()
    with collective("gather objects"):
        dist.all_gather_object(boxes, value)
    return boxes
