"""A rank that trains a small model under FSDP2; rank 0 writes weights and their average, gathered.

python rank_sharded.py OUT     with RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT set
"""

import sys
from pathlib import Path

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from diagonal_train.distributed import from_environment, in_process_group
from diagonal_train.updating.ema import start_average, update_average
from diagonal_train.updating.stable_adamw import StableAdamW


def trained(mesh_shape: tuple[int, ...] = ()) -> dict[str, torch.Tensor]:
    """Weights and averages after six steps; the second last has gradients a hundred times longer.

    With three rows in the first layer, two ranks hold unequal parts of it.
    """
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 4))
    if mesh_shape:
        names = ("replicate", "shard")[-len(mesh_shape) :]
        fully_shard(model, mesh=init_device_mesh("cpu", mesh_shape, mesh_dim_names=names))
    averaged = start_average(model, 0.9)
    assert averaged is not None
    optimizer = StableAdamW(
        model.parameters(), lr=0.05, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.2
    )
    for step in range(6):
        inputs = torch.randn(8, 5, generator=torch.Generator().manual_seed(step))
        loss = model(inputs).square().mean() * (100 if step == 4 else 1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        update_average(averaged, model, 0.9)
    found = {**model.state_dict(), **{f"averaged.{name}": t for name, t in averaged.items()}}
    return {n: t.full_tensor() if isinstance(t, DTensor) else t for n, t in found.items()}


def main(out: str, *mesh_shape: str) -> None:
    """Every rank has the same batches, so that the mean over ranks is what one process has."""
    world = from_environment()
    found = in_process_group(world, lambda: trained(tuple(map(int, mesh_shape))))
    if world.is_main:
        torch.save(found, Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
