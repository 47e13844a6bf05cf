"""The model spread over ranks: replicated (DDP), sharded (FSDP2), or sharded in groups (HSDP).

    ddp     every rank holds all; gradients are averaged
    fsdp    each block's weights, gradients and optimizer state are cut over all ranks
    hsdp    cut over the ranks of a group, and averaged between groups

Loss and gradients are those of one process in all of them. One process alone holds the plain model.
"""

import math
from collections.abc import Iterable, Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from diagonal_infra.errors import UserError
from diagonal_train.config.parallel import ParallelConfig
from diagonal_train.distributed import World

BLOCK_LISTS = frozenset({"resblocks", "blocks", "layer1", "layer2", "layer3", "layer4", "stages"})
"""What open_clip and timm call the repeated part of an encoder."""


def wrap(
    model: nn.Module, world: World, config: ParallelConfig, *, precision: str = "fp32"
) -> nn.Module:
    """What a step calls in place of the model; gradients are averaged over ranks.

    FSDP changes the model itself and replaces its parameters: build the optimizer afterwards.
    It must not outlive the process group (distributed.py).

    Raises:
        UserError: the ranks cannot be put into groups of `--parallel.shard-size`.
    """
    if world.world_size == 1:
        return model
    if config.kind == "ddp":
        return DistributedDataParallel(model)
    mesh = build_mesh(world, config)
    dtype = torch.bfloat16 if precision in {"bf16", "fp8"} else None
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    # FSDP shards along the first dimension, which a scalar does not have.
    scalars = {parameter for parameter in model.parameters() if parameter.ndim == 0}
    for parameter in model.parameters():
        # FSDP takes no other layout, such as channels_last.
        parameter.data = parameter.data.contiguous()
        if parameter in scalars and parameter.requires_grad:
            parameter.register_hook(mean_over_ranks)
    for block in blocks_of(model):
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy, ignored_params=scalars)
    return model


def build_mesh(world: World, config: ParallelConfig) -> DeviceMesh:
    """All ranks in a row, or groups of consecutive ranks.

    Raises:
        UserError: the ranks do not divide into such groups.
    """
    kind, ranks = world.device.type, world.world_size
    if config.kind == "fsdp":
        return init_device_mesh(kind, (ranks,), mesh_dim_names=("shard",))
    size = config.shard_size
    if ranks % size or ranks == size:
        raise UserError(
            f"{ranks} ranks are not two or more groups of --parallel.shard-size {size}; "
            "choose a divisor of the ranks, or --parallel.kind fsdp"
        )
    return init_device_mesh(kind, (ranks // size, size), mesh_dim_names=("replicate", "shard"))


def blocks_of(model: nn.Module) -> Iterator[nn.Module]:
    """The repeated blocks of both encoders, each of which is gathered and freed as one."""
    for name, part in model.named_modules():
        is_list = isinstance(part, nn.ModuleList | nn.Sequential)
        if is_list and name.rpartition(".")[2] in BLOCK_LISTS:
            yield from (block for block in part if any(True for _ in block.parameters()))


def mean_over_ranks(gradient: Tensor) -> Tensor:
    """The average over all ranks, as a new tensor."""
    total = gradient.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def clip_grad_norm(parameters: Iterable[nn.Parameter], longest: float) -> Tensor:
    """Scale gradients down so that all together are at most `longest`; their norm before that.

    Sharded and plain gradients may be mixed; the norm is of the whole model, on every rank.
    """
    all_parameters = list(parameters)
    gradients = [p.grad for p in all_parameters if p.grad is not None]
    sharded = [g for g in gradients if isinstance(g, DTensor)]
    if not sharded:
        return nn.utils.clip_grad_norm_(all_parameters, longest)
    plain = [g for g in gradients if not isinstance(g, DTensor)]
    norm = nn.utils.get_total_norm(sharded)
    assert isinstance(norm, DTensor)
    total = torch.hypot(norm.full_tensor(), nn.utils.get_total_norm(plain).to(norm.device))
    if math.isfinite(longest):
        factor = (longest / (total + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            local = gradient.to_local() if isinstance(gradient, DTensor) else gradient
            local.mul_(factor)
    return total


def keep_apart(optimizer: torch.optim.Optimizer) -> None:
    """Give plain parameters groups apart from sharded ones, which no fused update mixes.

    Called before the first step; the groups' settings stay the same.
    """
    for group in list(optimizer.param_groups):
        plain = [p for p in group["params"] if not isinstance(p, DTensor)]
        if plain and len(plain) < len(group["params"]):
            group["params"] = [p for p in group["params"] if isinstance(p, DTensor)]
            optimizer.param_groups.append({**group, "params": plain})
