"""Contrastive losses over the global batch, exact on any number of ranks.

    this rank's images × all texts, a tile at a time ─► row sums, column sums ─► loss
    the same tiles again ─► gradients of own images and of all texts ─► reduce-scatter

Each rank works on its rows of the one matrix of all cosines; the columns' sums are reduced over
ranks. Nothing of the size of that matrix is ever held, so memory grows with the batch and not with
its square, and a rank multiplies half of what it would with a matrix for each direction. The tiles
are in tiled_loss.py; the `dense_…` functions are what they must equal.

Shape suffixes: B samples on this rank, D embedding width, E the teacher's.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from diagonal_train.rank_rows import rank_rows
from diagonal_train.tiled_loss import Kind, Teacher, TiledLoss

__all__ = [
    "Kind",
    "Losses",
    "Teacher",
    "contrastive_loss",
    "dense_contrastive_loss",
    "dense_distilled_loss",
    "distilled_loss",
]

TILE = 512
"""Rows and columns of a tile: 1 MB of float32, which stays in a core's cache. Tiles of 1,024 are as
fast on a CPU and need more memory."""


class Losses(NamedTuple):
    """A loss and its two parts, of which only the whole has gradients."""

    whole: Tensor
    contrastive: Tensor
    distillation: Tensor


def contrastive_loss(
    image_BD: Tensor,
    text_BD: Tensor,
    logit_scale: Tensor,
    logit_bias: Tensor | None = None,
    kind: Kind = "softmax",
    tile: int = TILE,
) -> Tensor:
    """This rank's part of the loss between each image and its own caption among all.

    Averaged over ranks, as DDP averages gradients, the loss and every gradient (logit_scale's and
    logit_bias's too) equal those of one process that holds the whole batch, also where ranks have
    different numbers of samples. Products are taken in at least float32.

    Args:
        image_BD: image embeddings of length 1.
        text_BD: text embeddings of length 1, as many, in the same order.
        logit_scale: what cosines are multiplied by (the exponentiated parameter).
        logit_bias: added to the logits; only `sigmoid` depends on it.
        kind: `softmax` is the symmetric cross-entropy of CLIP (Radford et al., 2021), `sigmoid` the
            pairwise loss of SigLIP (Zhai et al., 2023), a sum over all pairs divided by samples.
        tile: rows and columns that are multiplied at a time; the result does not depend on it.

    Raises:
        UserError: on every rank, if one has no samples or unequal numbers of images and texts.
    """
    return _tiled(image_BD, text_BD, logit_scale, logit_bias, None, kind, tile)[0]


def distilled_loss(
    image_BD: Tensor, text_BD: Tensor, logit_scale: Tensor, teacher: Teacher, tile: int = TILE
) -> Losses:
    """`contrastive_loss`, and how far the model is from a teacher, by the weight it has.

    The distillation loss is the mean of the divergences KL(teacher ‖ model) of the probabilities
    that an image gives all texts and that a text gives all images (Vasu et al., 2024, MobileCLIP),
    0 where both agree. It is exact over ranks as `contrastive_loss` is, with memory as linear.

    Args:
        image_BD: image embeddings of length 1.
        text_BD: text embeddings of length 1, as many, in the same order.
        logit_scale: what cosines are multiplied by (the exponentiated parameter).
        teacher: its embeddings of the same samples; nothing of it gets gradients.
        tile: rows and columns that are multiplied at a time; the result does not depend on it.

    Raises:
        UserError: on every rank, if one has no samples or unequal numbers of images and texts.
    """
    loss, parts = _tiled(image_BD, text_BD, logit_scale, None, teacher, "softmax", tile)
    return Losses(loss, *parts.unbind())


def dense_contrastive_loss(
    image_BD: Tensor,
    text_BD: Tensor,
    logit_scale: Tensor,
    logit_bias: Tensor | None = None,
    kind: Kind = "softmax",
) -> Tensor:
    """What `contrastive_loss` computes, of one process and in plain terms: the reference."""
    logits_BB = logit_scale * image_BD @ text_BD.T
    if kind == "softmax":
        own_B = torch.arange(len(logits_BB), device=logits_BB.device)
        return 0.5 * (F.cross_entropy(logits_BB, own_B) + F.cross_entropy(logits_BB.T, own_B))
    signs_BB = 2 * torch.eye(len(logits_BB), dtype=logits_BB.dtype, device=logits_BB.device) - 1
    biased_BB = logits_BB if logit_bias is None else logits_BB + logit_bias
    return -F.logsigmoid(signs_BB * biased_BB).sum() / len(logits_BB)


def dense_distilled_loss(
    image_BD: Tensor, text_BD: Tensor, logit_scale: Tensor, teacher: Teacher
) -> Losses:
    """What `distilled_loss` computes, of one process and in plain terms: the reference."""
    logits_BB = logit_scale * image_BD @ text_BD.T
    found_BB = teacher.logit_scale * teacher.image_BE @ teacher.text_BE.T
    divergences = [
        F.kl_div(own.log_softmax(1), other.log_softmax(1), reduction="batchmean", log_target=True)
        for own, other in ((logits_BB, found_BB), (logits_BB.T, found_BB.T))
    ]
    contrastive = dense_contrastive_loss(image_BD, text_BD, logit_scale)
    distillation = 0.5 * (divergences[0] + divergences[1])
    whole = (1 - teacher.weight) * contrastive + teacher.weight * distillation
    return Losses(whole, contrastive, distillation)


def _tiled(
    image_BD: Tensor,
    text_BD: Tensor,
    logit_scale: Tensor,
    logit_bias: Tensor | None,
    teacher: Teacher | None,
    kind: Kind,
    tile: int,
) -> tuple[Tensor, Tensor]:
    """The loss; and its contrastive part and, with a teacher, the other, without gradients."""
    ranks = rank_rows(len(image_BD), len(text_BD), image_BD.device)
    with torch.autocast(image_BD.device.type, enabled=False):
        image_BD, text_BD = _at_least_fp32(image_BD), _at_least_fp32(text_BD)
        scale = logit_scale.to(image_BD.dtype)
        bias = torch.zeros_like(scale) if logit_bias is None else logit_bias.to(image_BD.dtype)
        found = TiledLoss.apply(image_BD, text_BD, scale, bias, teacher, ranks, kind, tile)
        assert isinstance(found, tuple)
        return found


def _at_least_fp32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
