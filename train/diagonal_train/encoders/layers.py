"""Which layer of which encoder a parameter belongs to, told by its name.

    layer    0              1 … blocks                    blocks + 1
    holds    embeddings     transformer blocks; the       projections
             and stem       last with the norm behind it

The logit scale and bias belong to no encoder.
"""

import re
from dataclasses import dataclass
from typing import Literal

from torch import nn

from diagonal_infra.errors import UserError

Encoder = Literal["image", "text"]
BLOCK = re.compile(r"\b(?:resblocks|blocks)\.(\d+)\.")
FIRST = re.compile(
    r"\b(conv1|class_embedding|positional_embedding|ln_pre|token_embedding|cls_emb|stem"
    r"|patch_embed|pos_embed|cls_token|reg_token|norm_pre)\b"
)
LAST_NORM = re.compile(r"\b(ln_post|ln_final|norm)\b")


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A place in an encoder, counted from its input."""

    encoder: Encoder
    number: int
    last: int
    """The number of the encoder's projection."""

    @property
    def below_last(self) -> int:
        """Layers between it and the embedding, itself counted: 0 for projections."""
        return self.last - self.number


def encoder_of(name: str) -> Encoder | None:
    """The encoder that the parameter or module of that name is in; None for the logit scale."""
    if re.search(r"\bvisual\.", name):
        return "image"
    return None if re.search(r"\blogit_(scale|bias)$", name) else "text"


def layers_of(model: nn.Module) -> dict[str, Layer | None]:
    """Every parameter's layer, by name.

    Raises:
        UserError: an encoder has no transformer blocks, for instance a ResNet.
    """
    names = [name for name, _ in model.named_parameters()]
    blocks: dict[Encoder, int] = {"image": 0, "text": 0}
    for name in names:
        encoder, block = encoder_of(name), BLOCK.search(name)
        if encoder is not None and block is not None:
            blocks[encoder] = max(blocks[encoder], int(block[1]) + 1)
    for encoder, count in blocks.items():
        if count == 0:
            raise UserError(
                f"the {encoder} encoder has no transformer blocks to count layers by; leave "
                "--optimizer.layer-lr-decay and --lock.image-unlocked-groups as they are"
            )
    return {name: _layer(name, blocks) for name in names}


def _layer(name: str, blocks: dict[Encoder, int]) -> Layer | None:
    encoder = encoder_of(name)
    if encoder is None:
        return None
    count, block = blocks[encoder], BLOCK.search(name)
    if block is not None:
        number = int(block[1]) + 1
    elif FIRST.search(name):
        number = 0
    else:
        number = count if LAST_NORM.search(name) else count + 1
    return Layer(encoder=encoder, number=number, last=count + 1)
