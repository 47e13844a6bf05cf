"""Texts through a causal text encoder, each distinct beginning computed once; for inference.

    start a photo of a cat . end        0 1 2 3 4 5 6 7
    start a photo of a dog . end        0 1 2 3 4 8 9 10
    start a photo of the cat . end      0 1 2 3 11 12 13 14        rows instead of 24 + filling

Under a causal mask a token's row depends on what stands before it and on nothing else. Prompts of
classes are many endings of few beginnings: all those of 34 templates and 102 classes have 13,759
distinct ones among 27,985 tokens, and captions gain as nothing is filled up to a common length.

Shape suffixes: B texts, T tokens, N distinct beginnings, W width, D embedding width.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from diagonal_train.encoders import needed_rows


def encode_text(clip: Any, tokens_BT: Tensor, lengths_B: Tensor) -> Tensor:
    """What `clip.encode_text` gives, B×D, of texts whose encoder is causal and read at its end.

    Args:
        clip: its text encoder satisfies `text_trim.can_trim` and `needed_rows.can_run`.
        tokens_BT: token ids.
        lengths_B: tokens of each text, its end included.
    """
    device, dtype = tokens_BT.device, clip.transformer.get_cast_dtype()
    lengths = lengths_B.cpu().numpy()
    cut_BT = tokens_BT[:, : int(lengths.max())]
    rows, places = shared_rows(cut_BT.cpu().numpy(), lengths)
    places_N = torch.from_numpy(places).to(device)
    x_NW = clip.token_embedding(cut_BT.flatten()[places_N]).to(dtype)
    x_NW = x_NW + clip.positional_embedding[places_N % cut_BT.shape[1]].to(dtype)
    sequences = needed_rows.Sequences(
        length=cut_BT.shape[1],
        read_S=lengths_B.to(device) - 1,
        rows_ST=torch.from_numpy(rows).to(device),
        places_N=places_N,
        causal=True,
    )
    x_BW = clip.ln_final(needed_rows.read_rows(clip.transformer, x_NW, sequences))
    if isinstance(clip.text_projection, nn.Linear):
        return clip.text_projection(x_BW)
    return x_BW if clip.text_projection is None else x_BW @ clip.text_projection


def shared_rows(
    tokens_BT: NDArray[np.int64], lengths_B: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The row of each token, B×T, and the place of each row's first token, counted through all.

    Equal beginnings have the same row. Tokens behind a text's end get any row.
    """
    order = np.lexsort(tokens_BT.T[::-1])
    sorted_BT = tokens_BT[order]
    differs_BT = np.ones(sorted_BT.shape, bool)
    differs_BT[1:] = np.logical_or.accumulate(sorted_BT[1:] != sorted_BT[:-1], axis=1)
    first_BT = differs_BT & (np.arange(tokens_BT.shape[1]) < lengths_B[order, None])
    # Among sorted texts, those that begin alike are neighbours: the row of the last new one.
    numbers_BT = np.where(first_BT, first_BT.cumsum().reshape(first_BT.shape) - 1, 0)
    rows_BT = np.empty_like(tokens_BT)
    rows_BT[order] = np.maximum.accumulate(numbers_BT, axis=0)
    sorted_row, column = np.nonzero(first_BT)
    return rows_BT, order[sorted_row] * tokens_BT.shape[1] + column
