"""The text encoder on captions cut behind their end, with the numbers of the whole length.

    start a red circle end 0 0 0 0 0 0 …  ─►  start a red circle end 0 0 0    (to a multiple of 8)

A causal encoder that is read at the end-of-text token never looks behind it, so cutting a batch to
its longest caption changes nothing but rounding. open_clip's own `encode_text` takes captions of
full length only.

Shape suffixes: B samples, T tokens, W width of the text encoder, D embedding width.
"""

from typing import Any

import torch
from torch import Tensor, nn

MULTIPLE = 8
"""Lengths are multiples of it, so that few shapes are compiled and matrices fit the hardware."""


def can_trim(clip: Any) -> bool:
    """Whether the text encoder is causal and read at the end-of-text token.

    Only open_clip's `CLIP` holds the encoder's parts itself; `CustomTextCLIP`, of SigLIP and
    Hugging Face encoders, does not, and is never trimmed.
    """
    pooled = getattr(clip, "text_pool_type", None) in ("argmax", "eos")
    return pooled and getattr(clip, "attn_mask", None) is not None


def end_of_text(clip: Any, tokens_BT: Tensor) -> Tensor:
    """Where each caption is read, B."""
    if clip.text_pool_type == "eos":
        return (tokens_BT == clip.text_eos_id).int().argmax(-1)
    return tokens_BT.argmax(-1)


def trimmed_length(longest: int, context_length: int) -> int:
    """Tokens that a batch is cut to, if its longest caption has `longest` with its end."""
    return min(-(-longest // MULTIPLE) * MULTIPLE, context_length)


def encode_text(clip: Any, tokens_BT: Tensor) -> Tensor:
    """What `clip.encode_text` gives, of T tokens or of any number up to the context length."""
    length, dtype = tokens_BT.shape[1], clip.transformer.get_cast_dtype()
    x_BTW = clip.token_embedding(tokens_BT).to(dtype)
    x_BTW = x_BTW + clip.positional_embedding[:length].to(dtype)
    x_BTW = clip.transformer(x_BTW, attn_mask=clip.attn_mask[:length, :length])
    x_BTW = clip.ln_final(x_BTW)
    rows_B = torch.arange(len(tokens_BT), device=tokens_BT.device)
    x_BW = x_BTW[rows_B, end_of_text(clip, tokens_BT)]
    if isinstance(clip.text_projection, nn.Linear):
        return clip.text_projection(x_BW)
    return x_BW if clip.text_projection is None else x_BW @ clip.text_projection
