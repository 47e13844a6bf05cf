"""A rank of test_parallel.py: a few steps of a two-tower model, clipped; rank 0 writes what came.

python rank_parallel.py OUT KIND SHARD_SIZE PRECISION    in torchrun's environment
"""

import sys
from pathlib import Path
from typing import Any, cast

import torch

from diagonal_train.config.model import ModelConfig, TextConfig, VisionConfig
from diagonal_train.config.optimizer import OptimizerConfig
from diagonal_train.config.parallel import ParallelConfig, ParallelKind
from diagonal_train.distributed import World, from_environment, in_process_group, sum_over_ranks
from diagonal_train.encoders.models import build_model
from diagonal_train.loss import contrastive_loss
from diagonal_train.parallel import clip_grad_norm, keep_apart, wrap
from diagonal_train.updating.optimizer import build_optimizer

BATCH_SIZE, STEPS, LONGEST = 24, 3, 0.5


def small_model() -> ModelConfig:
    """Two blocks in either encoder."""
    vision = VisionConfig(patch_size=8, width=32, layers=2, head_width=16)
    text = TextConfig(context_length=12, width=32, heads=2, layers=2)
    return ModelConfig(embed_dim=32, image_size=16, vision=vision, text=text)


def run_steps(world: World, config: ParallelConfig, precision: str) -> dict[str, Any]:
    """Losses and gradient norms of the steps, and the weights behind them."""
    torch.manual_seed(0)
    model = build_model(small_model()).to(world.device)
    replica = wrap(model, world, config, precision=precision)
    optimizer = build_optimizer(model, OptimizerConfig(lr=1e-2))
    keep_apart(optimizer)
    rng = torch.Generator().manual_seed(1)
    images = torch.randn(BATCH_SIZE, 3, 16, 16, generator=rng)
    tokens = torch.randint(1, 49_000, (BATCH_SIZE, 12), generator=rng)
    own = [part.chunk(world.world_size)[world.rank] for part in (images, tokens)]
    losses, norms = [], []
    for _ in range(STEPS):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            embedded = replica(*own)
        loss = contrastive_loss(*embedded)
        optimizer.zero_grad()
        loss.backward()
        norms.append(clip_grad_norm(model.parameters(), LONGEST).item())
        optimizer.step()
        losses.append(sum_over_ranks(loss.detach().clone()).item() / world.world_size)
    weights = {
        name: value.full_tensor() if hasattr(value, "full_tensor") else value
        for name, value in model.state_dict().items()
    }
    return {"losses": losses, "norms": norms, "weights": weights}


def main(out: str, kind: str, shard_size: str, precision: str) -> None:
    """This rank's part."""
    world = from_environment()
    config = ParallelConfig(kind=cast(ParallelKind, kind), shard_size=int(shard_size))
    found = in_process_group(world, lambda: run_steps(world, config, precision))
    if world.is_main:
        torch.save(found, Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
