"""A model as a run's configuration wants it: memory, speed and patches, the weights untouched.

Names of parameters stay, so checkpoints fit whatever was chosen. Done before a model is wrapped for
several ranks.
"""

import itertools
from functools import partial

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from diagonal_infra.errors import UserError
from diagonal_train.config.train import TrainConfig
from diagonal_train.encoders.fp8 import use_fp8
from diagonal_train.encoders.models import DualEncoder
from diagonal_train.encoders.patch_dropout import drop_patches


def fit_model(model: DualEncoder, config: TrainConfig) -> DualEncoder:
    """The same model with text trimming, patch dropout, fp8, checkpointed and compiled blocks.

    Raises:
        UserError: its encoders do not allow what is asked for.
    """
    model.trim_text = config.trim_text
    if config.patch_dropout > 0:
        drop_patches(model, config.patch_dropout)
    if config.micro_batch_size is not None:
        _refuse_batch_norm(model, config.micro_batch_size)
    if config.precision == "fp8":
        for block in itertools.chain(*encoder_blocks(model)):
            use_fp8(block)
    kind = config.activation_checkpointing
    if kind == "none" and not config.compile:
        return model
    for blocks in encoder_blocks(model):
        for i, block in enumerate(blocks):
            forward = block.forward
            if config.compile:
                # Inside the checkpoint: outside of it, nothing was compiled.
                forward = torch.compile(forward)
            if kind == "full" or (kind == "selective" and i % 2 == 0):
                forward = partial(checkpoint, forward, use_reentrant=False)
            # On the block itself, so that no name of a weight changes.
            setattr(block, "forward", forward)  # noqa: B010  # a method, to type checkers
    return model


def encoder_blocks(model: DualEncoder) -> list[list[nn.Module]]:
    """The blocks of the image encoder, then of the text encoder, each in order.

    Raises:
        UserError: an encoder is none of those whose blocks are known.
    """
    encoders: list[nn.Module] = [model.clip.visual, getattr(model.clip, "text", model.clip)]
    found = [_blocks_of(encoder) for encoder in encoders]
    for encoder, blocks in zip(encoders, found, strict=True):
        if not blocks:
            raise UserError(
                "--activation-checkpointing, --compile and fp8 need encoders made of known blocks, "
                f"not {type(encoder).__name__}; leave them out"
            )
    return found


def _blocks_of(encoder: nn.Module) -> list[nn.Module]:
    places = ("transformer.resblocks", "trunk.blocks", "trunk.stages", "transformer.encoder.layer")
    known = {name: module for name, module in encoder.named_modules() if name in places}
    if known:
        return list(next(iter(known.values())).children())
    layers = [getattr(encoder, f"layer{i}", None) for i in range(1, 5)]
    if all(isinstance(layer, nn.Module) for layer in layers):
        return [block for layer in layers if layer is not None for block in layer.children()]
    return []


def _refuse_batch_norm(model: DualEncoder, size: int) -> None:
    if any(isinstance(module, _BatchNorm) for module in model.modules()):
        raise UserError(
            f"--micro-batch-size {size} would change what this model computes: its batch norm "
            "sees the samples embedded together; leave it out, or use an encoder without one"
        )
