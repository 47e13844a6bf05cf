"""A transformer of open_clip's, computed only in the rows that its result depends on; inference.

An encoder is read at one token of each sequence, but its last block computes all of them. And
sequences that begin alike have, under a causal mask, the same rows as far as they are alike.

    rows N×W ─ all blocks but the last: linear layers by row, attention by sequence
             ─ last block: everything but keys and values only at the places read ─ rows S×W

The result is that of the transformer's own `forward` but for rounding.

Shape suffixes: N rows, S sequences, T places of a sequence, W width, H heads, K width of a head.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock, Transformer
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Sequences:
    """Which rows make up which sequence, and where each is read.

    Without `rows_ST` and `places_N` each sequence has T rows of its own, one after another.
    """

    length: int
    """T."""
    read_S: Tensor
    """The place whose output is wanted."""
    rows_ST: Tensor | None = None
    """The row of each place."""
    places_N: Tensor | None = None
    """One of the places of each row, counted through all sequences."""
    causal: bool = False
    """Whether no place depends on those behind it; then those behind `read_S` may hold any row."""


def can_run(transformer: Any) -> bool:
    """Whether all blocks are open_clip's plain ones, neither sharded nor replaced."""
    return type(transformer) is Transformer and all(
        type(block) is ResidualAttentionBlock and type(block.attn) is nn.MultiheadAttention
        for block in transformer.resblocks
    )


def read_rows(transformer: Any, x_NW: Tensor, sequences: Sequences) -> Tensor:
    """The transformer's output S×W where the sequences are read."""
    *blocks, last = transformer.resblocks
    for block in blocks:
        x_NW = _added(block, x_NW, _attended(block, x_NW, sequences))
    starts_S = torch.arange(len(sequences.read_S), device=x_NW.device) * sequences.length
    rows_S = starts_S + sequences.read_S
    if sequences.rows_ST is not None:
        rows_S = sequences.rows_ST.flatten()[rows_S]
    return _added(last, x_NW[rows_S], _attended_where_read(last, x_NW, sequences))


def _added(block: Any, x_NW: Tensor, attended_NW: Tensor) -> Tensor:
    x_NW = x_NW + block.ls_1(block.attn.out_proj(attended_NW))
    return x_NW + block.ls_2(block.mlp(block.ln_2(x_NW)))


def _attended(block: Any, x_NW: Tensor, sequences: Sequences) -> Tensor:
    query, key, value = _projected(block, x_NW, sequences)
    mixed_SHTK = F.scaled_dot_product_attention(query, key, value, is_causal=sequences.causal)
    rows_XW = mixed_SHTK.transpose(1, 2).reshape(-1, x_NW.shape[1])
    return rows_XW if sequences.places_N is None else rows_XW[sequences.places_N]


def _attended_where_read(block: Any, x_NW: Tensor, sequences: Sequences) -> Tensor:
    query_SHTK, key, value = _projected(block, x_NW, sequences)
    read_S = sequences.read_S
    query_SH1K = query_SHTK[torch.arange(len(read_S), device=read_S.device), :, read_S, None]
    mask = None
    if sequences.causal:
        places_T = torch.arange(sequences.length, device=read_S.device)
        mask = (places_T <= read_S[:, None])[:, None, None]
    mixed_SH1K = F.scaled_dot_product_attention(query_SH1K, key, value, attn_mask=mask)
    return mixed_SH1K.flatten(1)


def _projected(block: Any, x_NW: Tensor, sequences: Sequences) -> tuple[Tensor, ...]:
    """Queries, keys and values of each place, S×H×T×K."""
    attention = block.attn
    packed = F.linear(block.ln_1(x_NW), attention.in_proj_weight, attention.in_proj_bias)
    if sequences.rows_ST is not None:
        packed = packed[sequences.rows_ST.flatten()]
    heads = packed.view(-1, sequences.length, 3, attention.num_heads, attention.head_dim)
    return heads.permute(2, 0, 3, 1, 4).unbind()
