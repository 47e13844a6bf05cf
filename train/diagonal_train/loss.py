"""Contrastive loss over the global batch.

Shape suffixes: B samples on this rank, G samples on all ranks (rank-major), D embedding width.
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor


def softmax_contrastive_loss(image_BD: Tensor, text_BD: Tensor, logit_scale: Tensor) -> Tensor:
    """Symmetric cross-entropy between each image and its own caption (Radford et al., 2021).

    This rank's rows against every rank's columns. Averaged over ranks, as DDP averages gradients,
    loss and every gradient (logit_scale's too) equal those of one process holding the whole batch,
    which tests/train/test_loss.py asserts. Products are taken in at least float32.

    Args:
        image_BD: image embeddings of length 1.
        text_BD: text embeddings of length 1, in the same order.
        logit_scale: what cosines are multiplied by (the exponentiated parameter).
    """
    with torch.autocast(image_BD.device.type, enabled=False):
        image_BD, text_BD = _at_least_fp32(image_BD), _at_least_fp32(text_BD)
        image_GD, text_GD = gather_rows(image_BD), gather_rows(text_BD)
        logits_per_image_BG = logit_scale * image_BD @ text_GD.T
        logits_per_text_BG = logit_scale * text_BD @ image_GD.T
        rank = dist.get_rank() if dist.is_initialized() else 0
        batch_size = image_BD.shape[0]
        own_column_B = rank * batch_size + torch.arange(batch_size, device=image_BD.device)
        return 0.5 * (
            F.cross_entropy(logits_per_image_BG, own_column_B)
            + F.cross_entropy(logits_per_text_BG, own_column_B)
        )


def gather_rows(rows_BD: Tensor) -> Tensor:
    """The rows of all ranks, rank-major, with the gradients of all ranks summed on the way back."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return rows_BD
    gathered = _GatherRows.apply(rows_BD)
    assert isinstance(gathered, Tensor)
    return gathered


class _GatherRows(torch.autograd.Function):
    """All-gather forward, reduce-scatter of the gradients backward.

    The collectives over lists are the ones that neither torch 2.11 nor 2.13 deprecates.
    """

    @staticmethod
    def forward(ctx: Any, rows_BD: Tensor) -> Tensor:
        parts = [torch.empty_like(rows_BD) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows_BD.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        parts = list(gradients[0].contiguous().chunk(dist.get_world_size()))
        own_BD = torch.empty_like(parts[0])
        dist.reduce_scatter(own_BD, parts)
        return own_BD


def _at_least_fp32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
