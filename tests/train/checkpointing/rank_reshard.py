"""A rank of test_resharding.py: loads the newest checkpoint of a run and saves it as another's.

python rank_reshard.py SOURCE TARGET KIND    in torchrun's environment; SOURCE "" starts anew
"""

import sys
from typing import cast

import torch

from diagonal_train import checkpoint
from diagonal_train.config.model import ModelConfig, TextConfig, VisionConfig
from diagonal_train.config.optimizer import OptimizerConfig
from diagonal_train.config.parallel import ParallelConfig, ParallelKind
from diagonal_train.distributed import World, from_environment, in_process_group
from diagonal_train.encoders.models import build_model
from diagonal_train.parallel import keep_apart, wrap
from diagonal_train.state import TrainState
from diagonal_train.updating.optimizer import build_optimizer


def build_state(world: World, kind: ParallelKind, seed: int) -> TrainState:
    """A small model behind two made-up optimizer steps, with an average and a meter."""
    vision = VisionConfig(patch_size=8, width=32, layers=1, head_width=16)
    text = TextConfig(context_length=8, width=32, heads=2, layers=1)
    torch.manual_seed(seed)
    model = build_model(ModelConfig(embed_dim=31, image_size=16, vision=vision, text=text))
    wrap(model, world, ParallelConfig(kind=kind, shard_size=2))
    optimizer = build_optimizer(model, OptimizerConfig())
    keep_apart(optimizer)
    averaged = {name: value.detach() * 0.5 for name, value in model.state_dict().items()}
    for _ in range(2):
        for parameter in model.parameters():
            parameter.grad = parameter.detach() * 0.01
        optimizer.step()
    return TrainState(model=model, optimizer=optimizer, averaged=averaged, meters={"seed": seed})


def main(source: str, target: str, kind: str) -> None:
    """This rank's part."""
    world = from_environment()

    def reshard() -> None:
        state = build_state(world, cast(ParallelKind, kind), seed=0 if not source else 1)
        if source:
            checkpoint.load(checkpoint.find(source, None), state)
        checkpoint.save(target, world, state=state, step=2, samples_seen=2, data_digest="d")

    in_process_group(world, reshard)


if __name__ == "__main__":
    main(*sys.argv[1:])
