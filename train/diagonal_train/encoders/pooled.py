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

from diagonal_train.encoders import needed_rows


def encode_pooled(visual: Any, images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Pooled features B×P and embeddings B×D, neither normalised.

    An encoder of another kind, or one without a projection, gives its embeddings twice.
    """
    if isinstance(visual, TimmModel):
        pooled_BP = visual.trunk(images_BCHW)
        return pooled_BP, visual.head(pooled_BP)
    if isinstance(visual, VisionTransformer) and visual.proj is not None:
        if not torch.is_grad_enabled() and _is_read_at_first_token(visual):
            pooled_BP = _first_token(visual, images_BCHW)
            return pooled_BP, pooled_BP @ visual.proj
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


def _is_read_at_first_token(visual: VisionTransformer) -> bool:
    return (
        visual.pool_type == "tok"
        and visual.attn_pool is None
        and needed_rows.can_run(visual.transformer)
    )


def _first_token(visual: VisionTransformer, images_BCHW: Tensor) -> Tensor:
    x_BTW = visual._embeds(images_BCHW)
    first_B = torch.zeros(len(x_BTW), dtype=torch.int64, device=x_BTW.device)
    sequences = needed_rows.Sequences(length=x_BTW.shape[1], read_S=first_B)
    rows_BW = needed_rows.read_rows(visual.transformer, x_BTW.flatten(0, 1), sequences)
    return visual.ln_post(rows_BW)


@contextmanager
def _replaced(module: nn.Module, name: str, value: nn.Module | None) -> Iterator[Any]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield before
    finally:
        setattr(module, name, before)
