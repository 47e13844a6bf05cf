"""What an image encoder knows before it is projected into the space it shares with texts.

Linear probes work on these pooled features (Radford et al., 2021, App. A.3: "the features taken
from the penultimate layer"), zero-shot on the embeddings; one pass gives both.

    VisionTransformer   pooled token            ─ proj ──► embedding
    ModifiedResNet      attention-pooled        ─ c_proj ► embedding
    TimmModel           trunk                   ─ head ──► embedding

Shape suffixes: B samples, C colours, H and W pixels, P pooled width, D embedding width.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn


def encode_pooled(visual: Any, images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Pooled features B×P and embeddings B×D, neither normalised.

    An encoder of another kind, or one without a projection, gives its embeddings twice.
    """
    if isinstance(visual, TimmModel):
        pooled_BP = visual.trunk(images_BCHW)
        return pooled_BP, visual.head(pooled_BP)
    if isinstance(visual, VisionTransformer) and visual.proj is not None:
        with _replaced(visual, "proj", None) as proj_PD:
            pooled_BP = visual(images_BCHW)
        return pooled_BP, pooled_BP @ proj_PD
    if isinstance(visual, ModifiedResNet) and hasattr(visual.attnpool, "c_proj"):
        width = visual.attnpool.c_proj.in_features
        weight = visual.attnpool.c_proj.weight
        identity = nn.Linear(width, width, device=weight.device, dtype=weight.dtype)
        with torch.no_grad():
            identity.weight.copy_(torch.eye(width))
            identity.bias.zero_()
        with _replaced(visual.attnpool, "c_proj", identity) as c_proj:
            pooled_BP = visual(images_BCHW)
        return pooled_BP, c_proj(pooled_BP)
    features_BD = visual(images_BCHW)
    return features_BD, features_BD


@contextmanager
def _replaced(module: nn.Module, name: str, value: nn.Module | None) -> Iterator[Any]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield before
    finally:
        setattr(module, name, before)
