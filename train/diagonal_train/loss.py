"""Contrastive losses over the global batch, exact on any number of ranks.

    this rank's images × all texts, a tile at a time ─► row sums, column sums ─► loss
    the same tiles again ─► gradients of own images and of all texts ─► reduce-scatter

Each rank works on its rows of the one matrix of all cosines; the columns' sums are reduced over
ranks. Nothing of the size of that matrix is ever held, so memory grows with the batch and not with
its square, and a rank multiplies half of what it would with a matrix for each direction.

Shape suffixes: B samples on this rank, G samples on all ranks (rank-major), D embedding width; a
tile has M rows and N columns.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from diagonal_train.distributed import largest, sum_over_ranks
from diagonal_train.rank_rows import RankRows, rank_rows

Kind = Literal["softmax", "sigmoid"]
TILE = 512
"""Rows and columns of a tile: 1 MB of float32, which stays in a core's cache. Tiles of 1,024 are as
fast on a CPU and need more memory."""
LOST_SHARE = 1e-9
"""Largest share of a sum that terms too small for its float type may make up."""


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
    ranks = rank_rows(len(image_BD), len(text_BD), image_BD.device)
    with torch.autocast(image_BD.device.type, enabled=False):
        image_BD, text_BD = _at_least_fp32(image_BD), _at_least_fp32(text_BD)
        scale = logit_scale.to(image_BD.dtype)
        bias = torch.zeros_like(scale) if logit_bias is None else logit_bias.to(image_BD.dtype)
        loss = _TiledLoss.apply(image_BD, text_BD, scale, bias, ranks, kind, tile)
        assert isinstance(loss, Tensor)
        return loss


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


@dataclass(frozen=True, eq=False)
class _Softmax:
    """The sums over rows and columns, as what turns exponentials into probabilities.

    All exponentials are taken of logits less `shift`, one for the whole matrix, so that an
    exponential serves its row and its column. Where logits spread too far for that, `lse` holds the
    logs of the sums instead, and there are two exponentials per logit.
    """

    shift: Tensor
    sums: tuple[Tensor, Tensor]
    """Over columns for each row (B), over all rows of all ranks for each column (G)."""
    lse: tuple[Tensor, Tensor] | None

    def log_sums(self) -> tuple[Tensor, Tensor]:
        """Log of the sum of exponentials, by row and by column."""
        if self.lse is not None:
            return self.lse
        rows_B, columns_G = self.sums
        return rows_B.log() + self.shift, columns_G.log() + self.shift

    def slope_(self, logits_MN: Tensor, rows: slice, columns: slice) -> Tensor:
        """In place: mean of the probabilities along the row and along the column."""
        if self.lse is not None:
            rows_B, columns_G = self.lse
            along_rows_MN = (logits_MN - rows_B[rows, None]).exp_()
            return logits_MN.sub_(columns_G[columns]).exp_().add_(along_rows_MN).mul_(0.5)
        rows_B, columns_G = self.sums
        weights_MN = (0.5 / rows_B[rows])[:, None] + 0.5 / columns_G[columns]
        return logits_MN.sub_(self.shift).exp_().mul_(weights_MN)


@dataclass(frozen=True, eq=False)
class _Sigmoid:
    """Nothing is shared between pairs."""

    def slope_(self, logits_MN: Tensor, rows: slice, columns: slice) -> Tensor:
        """In place: the probability that the pair belongs together."""
        del rows, columns
        return logits_MN.sigmoid_()


class _TiledLoss(torch.autograd.Function):
    @staticmethod
    def forward(  # as autograd calls it
        ctx: Any,
        image_BD: Tensor,
        text_BD: Tensor,
        scale: Tensor,
        bias: Tensor,
        ranks: RankRows,
        kind: Kind,
        tile: int,
    ) -> Tensor:
        text_GD = ranks.gather(text_BD)
        own_B = scale * _row_products(image_BD, text_BD, tile) + bias
        if kind == "softmax":
            ctx.pairs = _softmax_sums(image_BD, text_GD, scale, bias, tile)
            rows_B, columns_G = ctx.pairs.log_sums()
            total = (0.5 * (rows_B + columns_G[ranks.own]) - own_B).sum()
        else:
            ctx.pairs = _Sigmoid()
            total = torch.zeros_like(scale)
            for _, _, logits_MN in _tiles(image_BD, text_GD, scale, bias, tile):
                total += F.softplus(logits_MN).sum()
            total -= own_B.sum()
        ctx.save_for_backward(image_BD, text_GD, scale, bias)
        ctx.ranks, ctx.tile = ranks, tile
        return total / ranks.mean_count

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, ...]:
        image_BD, text_GD, scale, bias = ctx.saved_tensors
        of_images_BD, of_texts_GD = torch.zeros_like(image_BD), torch.zeros_like(text_GD)
        of_bias = torch.zeros_like(bias)
        for rows, columns, logits_MN in _tiles(image_BD, text_GD, scale, bias, ctx.tile):
            slope_MN = ctx.pairs.slope_(logits_MN, rows, columns)
            of_images_BD[rows].addmm_(slope_MN, text_GD[columns])
            of_texts_GD[columns].addmm_(slope_MN.T, image_BD[rows])
            of_bias += slope_MN.sum()
        # A pair that belongs together pulls with weight 1, whatever its probability.
        own = ctx.ranks.own
        of_images_BD -= text_GD[own]
        of_texts_GD[own] -= image_BD
        # Σ slope × cosine, from what is already summed over columns.
        of_scale = _row_products(image_BD, of_images_BD, ctx.tile).sum()
        share = gradients[0] / ctx.ranks.mean_count
        return (
            of_images_BD.mul_(share * scale),
            ctx.ranks.scatter_sums(of_texts_GD).mul_(share * scale),
            of_scale * share,
            (of_bias - len(image_BD)) * share,
            None,
            None,
            None,
        )


def _softmax_sums(
    image_BD: Tensor, text_GD: Tensor, scale: Tensor, bias: Tensor, tile: int
) -> _Softmax:
    count, limits = len(text_GD), torch.finfo(image_BD.dtype)
    # No logit is above this (Cauchy–Schwarz); less the shift, no sum of exponentials overflows.
    longest = image_BD.norm(dim=1).max() * text_GD.norm(dim=1).max()
    highest = largest(scale.abs() * longest + bias.abs())
    shift = (highest - (math.log(limits.max / count) - 1)).clamp_min(0)
    rows_B, columns_G = image_BD.new_zeros(len(image_BD)), image_BD.new_zeros(count)
    for rows, columns, logits_MN in _tiles(image_BD, text_GD, scale, bias, tile):
        terms_MN = logits_MN.sub_(shift).exp_()
        rows_B[rows] += terms_MN.sum(1)
        columns_G[columns] += terms_MN.sum(0)
    sums = rows_B, sum_over_ranks(columns_G)
    # Terms below the smallest normal number were lost; there were at most `count` of them.
    least = count * limits.tiny / LOST_SHARE
    lost = torch.stack([(part < least).any() for part in sums]).any().to(image_BD.dtype)
    if largest(lost).item():
        return _Softmax(shift, sums, _log_sums(image_BD, text_GD, scale, bias, tile))
    return _Softmax(shift, sums, None)


def _log_sums(
    image_BD: Tensor, text_GD: Tensor, scale: Tensor, bias: Tensor, tile: int
) -> tuple[Tensor, Tensor]:
    """Logs of the sums of exponentials by row and column, whatever the spread of the logits."""
    rows_B = image_BD.new_full((len(image_BD),), -math.inf)
    columns_G = image_BD.new_full((len(text_GD),), -math.inf)
    for rows, columns, logits_MN in _tiles(image_BD, text_GD, scale, bias, tile):
        rows_B[rows] = torch.logaddexp(rows_B[rows], logits_MN.logsumexp(1))
        columns_G[columns] = torch.logaddexp(columns_G[columns], logits_MN.logsumexp(0))
    top_G = largest(columns_G.clone())
    return rows_B, sum_over_ranks((columns_G - top_G).exp()).log() + top_G


def _tiles(
    image_BD: Tensor, text_GD: Tensor, scale: Tensor, bias: Tensor, tile: int
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Rows, columns and logits of every tile; the logits may be written over."""
    for top in range(0, len(image_BD), tile):
        rows = slice(top, min(top + tile, len(image_BD)))
        scaled_MD = image_BD[rows] * scale
        for left in range(0, len(text_GD), tile):
            columns = slice(left, min(left + tile, len(text_GD)))
            yield rows, columns, torch.addmm(bias, scaled_MD, text_GD[columns].T)


def _row_products(left_BD: Tensor, right_BD: Tensor, tile: int) -> Tensor:
    """The scalar product of each row with the same row, B, without a third matrix of that size."""
    pairs = zip(left_BD.split(tile), right_BD.split(tile), strict=True)
    return torch.cat([(left_MD * right_MD).sum(1) for left_MD, right_MD in pairs])


def _at_least_fp32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
