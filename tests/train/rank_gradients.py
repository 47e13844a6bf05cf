"""A rank of test_gradient_cache.py: averaged loss and gradients of its part, written to a file.

python rank_gradients.py OUT KIND MICRO WRAP     with torchrun's environment; WRAP is ddp or fsdp
"""

import sys
from pathlib import Path
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from diagonal_train import gradient_cache
from diagonal_train.config.model import ModelConfig, TextConfig, VisionConfig
from diagonal_train.distributed import World, from_environment, in_process_group
from diagonal_train.encoders.models import DualEncoder, build_model
from diagonal_train.loss import Kind, contrastive_loss
from diagonal_train.watching.stage_clock import StageClock

BATCH_SIZE = 12
DROPOUT = 0.3


class Noisy(nn.Module):
    """The dual encoder in float64, with dropout before it."""

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        torch.manual_seed(0)
        config = ModelConfig(
            embed_dim=8,
            image_size=16,
            vision=VisionConfig(patch_size=8, width=16, layers=1, head_width=8),
            text=TextConfig(context_length=8, width=16, heads=2, layers=1),
        )
        self.encoders: DualEncoder = build_model(config, kind).double().train()

    def forward(self, images_BCHW: Tensor, tokens_BT: Tensor) -> tuple[Tensor, ...]:
        """What the dual encoder gives of images of which some pixels are out."""
        return self.encoders(nn.functional.dropout(images_BCHW, DROPOUT), tokens_BT)


def whole_batch() -> tuple[Tensor, Tensor]:
    """The same inputs on every rank."""
    rng = torch.Generator().manual_seed(1)
    images = torch.randn(BATCH_SIZE, 3, 16, 16, dtype=torch.float64, generator=rng)
    return images, torch.randint(1, 400, (BATCH_SIZE, 8), generator=rng)


def spans(micro: int, rank: int, world_size: int) -> list[slice]:
    """A rank's micro-batches; the last may be shorter."""
    count = BATCH_SIZE // world_size
    bounds = range(rank * count, (rank + 1) * count, micro)
    return [slice(first, min(first + micro, (rank + 1) * count)) for first in bounds]


def seed_of(span: slice) -> int:
    """Of the dropout of a micro-batch."""
    return 100 + span.start


def main(out: str, kind: str, micro: str, wrap: str) -> None:
    """This rank's part; rank 0 writes the mean loss and the gradients, which are equal on all."""
    world = from_environment()
    found = in_process_group(world, lambda: gradients(world, cast(Kind, kind), int(micro), wrap))
    if world.is_main:
        torch.save(found, Path(out))


def gradients(world: World, kind: Kind, micro: int, wrap: str) -> dict[str, Tensor]:
    """The mean over ranks."""
    model = Noisy(kind)
    replica: nn.Module = model
    if wrap == "fsdp":
        # Scalars cannot be sharded; they are averaged by hand below.
        scalars = {p for p in model.parameters() if p.ndim == 0}
        # Nor can weights whose channels lie innermost.
        replica = fully_shard(
            model.to(memory_format=torch.contiguous_format),  # pyright: ignore[reportCallIssue]  # torch's stub lacks the overload
            ignored_params=scalars,
        )
    elif world.world_size > 1:
        replica = DistributedDataParallel(model)
    images, tokens = whole_batch()
    parts = spans(micro, world.rank, world.world_size)

    def embed(part: int) -> tuple[Tensor, ...]:
        torch.manual_seed(seed_of(parts[part]))
        return replica(images[parts[part]], tokens[parts[part]])

    def loss_of(*outputs: Tensor) -> Tensor:
        return contrastive_loss(*outputs, kind=kind, tile=5)

    mean = gradient_cache.backward(embed, len(parts), loss_of, replica, StageClock())
    if world.world_size > 1:
        dist.all_reduce(mean)
    by_name = {name: _whole(p, world, wrap) for name, p in model.named_parameters()}
    return {"loss": mean / world.world_size, **by_name}


def _whole(parameter: nn.Parameter, world: World, wrap: str) -> Tensor:
    assert parameter.grad is not None
    if isinstance(parameter.grad, DTensor):
        return parameter.grad.full_tensor()
    if wrap == "fsdp":
        dist.all_reduce(parameter.grad)
        return parameter.grad / world.world_size
    return parameter.grad


if __name__ == "__main__":
    main(*sys.argv[1:])
