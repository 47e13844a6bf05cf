"""The text encoder on captions cut behind their end, with the numbers of the whole length.

    start a red circle end 0 0 0 0 0 0 …  ─►  start a red circle end 0 0 0    (to a multiple of 8)

A causal encoder that is read at the end-of-text token never looks behind it, so cutting captions
behind their end changes nothing but rounding. open_clip's own `encode_text` takes captions of full
length only.

Web captions have 16 of 77 tokens in the mean, but the longest of 1,024 has 70. So a batch is sorted
by length into equal groups, each cut to its own longest: 8 groups have 25 tokens in the mean.

Shape suffixes: B samples, G samples of a group, T tokens, W width of the text encoder, D embedding
width.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

MULTIPLE = 8
"""Lengths are multiples of it, so that few shapes are compiled and matrices fit the hardware."""
GROUPS = (8, 4, 2)
LEAST_GROUP = {"cpu": 32, "cuda": 256}
"""Samples. A GPU that is handed smaller matrices waits for the next ones."""


class Captions(NamedTuple):
    """A batch's captions, cut in groups of like length."""

    groups: tuple[Tensor, ...]
    """Token ids, each G×T."""
    places_B: Tensor
    """Where each caption stands among those of all groups."""


def cut_captions(tokens_BT: Tensor, lengths_B: Tensor, *, grouped: bool = True) -> Captions:
    """The captions cut behind their ends; the lengths are on the CPU.

    Groups pay off where an encoder is called several times for the price of one: not with FSDP,
    which gathers its weights at each call.
    """
    order_B = lengths_B.argsort(stable=True)
    count = _group_count(tokens_BT) if grouped else 1
    groups = []
    for rows_G in order_B.chunk(count):
        length = trimmed_length(int(lengths_B[rows_G[-1]]), tokens_BT.shape[1])
        groups.append(tokens_BT[rows_G.to(tokens_BT.device), :length])
    return Captions(groups=tuple(groups), places_B=order_B.argsort().to(tokens_BT.device))


def _group_count(tokens_BT: Tensor) -> int:
    """As many groups as divide the batch and are not too small."""
    size, least = len(tokens_BT), LEAST_GROUP.get(tokens_BT.device.type, LEAST_GROUP["cuda"])
    return next((n for n in GROUPS if size % n == 0 and size // n >= least), 1)


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
    """Tokens that captions are cut to, if the longest has `longest` with its end."""
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
