"""The contrastive loss in tiles: forward, backward and what both need of every pair.

    images × texts, a tile at a time ─► row sums, column sums ─► loss
    teacher's images × texts, a tile at a time ─► its probabilities ─► pulls of its partners
    images × texts again ─► slopes ─► gradients of own images and of all texts ─► reduce-scatter

With softmax, each image is drawn to a mean of all texts and away from another: the target's mean
from the mean by the model's own probabilities. For the contrastive loss the target is the own
caption, for distillation what the teacher finds; logits are linear in either embedding, so a
teacher is needed for nothing but these means, once, in the forward pass.

Shape suffixes: B samples on this rank, G samples on all ranks (rank-major), D embedding width, E
the teacher's; a tile has M rows and N columns.
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
from diagonal_train.rank_rows import RankRows

Kind = Literal["softmax", "sigmoid"]
LOST_SHARE = 1e-9
"""Largest share of a sum that terms too small for its float type may make up."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Teacher:
    """Another model's embeddings of this rank's samples, of length 1."""

    image_BE: Tensor
    text_BE: Tensor
    logit_scale: float
    """What its cosines are multiplied by."""
    weight: float
    """Share of the distillation loss in the whole; the contrastive loss has the rest."""


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


@dataclass(frozen=True, eq=False)
class _Target:
    """What a teacher's probabilities, rows' and columns' in the mean, draw embeddings to."""

    images_BD: Tensor
    """For each of this rank's images: the sum of all texts, weighted."""
    texts_GD: Tensor
    """For each text: the sum of this rank's images, weighted."""
    sureness: Tensor
    """This rank's part of the sum of probability × its log: the negative entropy."""


class TiledLoss(torch.autograd.Function):
    """The loss of this rank, and its parts, contrastive and distillation, without gradients."""

    @staticmethod
    def forward(  # as autograd calls it
        ctx: Any,
        image_BD: Tensor,
        text_BD: Tensor,
        scale: Tensor,
        bias: Tensor,
        teacher: Teacher | None,
        ranks: RankRows,
        kind: Kind,
        tile: int,
    ) -> tuple[Tensor, Tensor]:
        text_GD = ranks.gather(text_BD)
        own_B = scale * _row_products(image_BD, text_BD, tile) + bias
        if kind == "softmax":
            ctx.pairs = _softmax_sums(image_BD, text_GD, scale, bias, tile)
            logs_B = _log_sums_of_own(ctx.pairs, ranks)
            parts = [(logs_B - own_B).sum()]
        else:
            assert teacher is None
            ctx.pairs, logs_B = _Sigmoid(), own_B
            parts = [torch.zeros_like(scale)]
            for _, _, logits_MN in _tiles(image_BD, text_GD, scale, bias, tile):
                parts[0] += F.softplus(logits_MN).sum()
            parts[0] -= own_B.sum()
        loss, ctx.weight, of_target = parts[0], 0.0, ()
        if teacher is not None:
            target = _target(image_BD, text_GD, teacher, ranks, tile)
            found_B = scale * _row_products(image_BD, target.images_BD, tile)
            parts.append((logs_B - found_B).sum() + target.sureness)
            ctx.weight, of_target = teacher.weight, (target.images_BD, target.texts_GD)
            loss = (1 - teacher.weight) * parts[0] + teacher.weight * parts[1]
        ctx.save_for_backward(image_BD, text_GD, scale, bias, *of_target)
        ctx.ranks, ctx.tile = ranks, tile
        shown = torch.stack(parts) / ranks.mean_count
        ctx.mark_non_differentiable(shown)
        return loss / ranks.mean_count, shown

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, ...]:
        image_BD, text_GD, scale, bias, *of_target = ctx.saved_tensors
        of_images_BD, of_texts_GD = torch.zeros_like(image_BD), torch.zeros_like(text_GD)
        of_bias = torch.zeros_like(bias)
        for rows, columns, logits_MN in _tiles(image_BD, text_GD, scale, bias, ctx.tile):
            slope_MN = ctx.pairs.slope_(logits_MN, rows, columns)
            of_images_BD[rows].addmm_(slope_MN, text_GD[columns])
            of_texts_GD[columns].addmm_(slope_MN.T, image_BD[rows])
            of_bias += slope_MN.sum()
        # A pair that belongs together pulls with the same weight, whatever its probability; the
        # teacher's pulls have the rest.
        own, rest = ctx.ranks.own, 1 - ctx.weight
        of_images_BD.sub_(text_GD[own], alpha=rest)
        of_texts_GD[own].sub_(image_BD, alpha=rest)
        for gradient, pulls in zip((of_images_BD, of_texts_GD), of_target, strict=False):
            gradient.sub_(pulls, alpha=ctx.weight)
        # Σ slope × cosine, from what is already summed over columns.
        of_scale = _row_products(image_BD, of_images_BD, ctx.tile).sum()
        share = gradients[0] / ctx.ranks.mean_count
        return (
            of_images_BD.mul_(share * scale),
            ctx.ranks.scatter_sums(of_texts_GD).mul_(share * scale),
            of_scale * share,
            (of_bias - len(image_BD)) * share,
            *(None,) * 4,
        )


def _target(
    image_BD: Tensor, text_GD: Tensor, teacher: Teacher, ranks: RankRows, tile: int
) -> _Target:
    image_BE = teacher.image_BE.to(image_BD.dtype)
    text_GE = ranks.gather(teacher.text_BE.to(image_BD.dtype))
    scale, zero = image_BD.new_tensor(teacher.logit_scale), image_BD.new_zeros(())
    pairs = _softmax_sums(image_BE, text_GE, scale, zero, tile)
    to_images_BD, to_texts_GD = torch.zeros_like(image_BD), torch.zeros_like(text_GD)
    sureness = -_log_sums_of_own(pairs, ranks).sum()
    for rows, columns, logits_MN in _tiles(image_BE, text_GE, scale, zero, tile):
        weights_MN = pairs.slope_(logits_MN.clone(), rows, columns)
        to_images_BD[rows].addmm_(weights_MN, text_GD[columns])
        to_texts_GD[columns].addmm_(weights_MN.T, image_BD[rows])
        sureness += logits_MN.mul_(weights_MN).sum()
    return _Target(to_images_BD, to_texts_GD, sureness)


def _log_sums_of_own(pairs: _Softmax, ranks: RankRows) -> Tensor:
    """For each of this rank's samples: the mean of the logs of its row's and its column's sum."""
    rows_B, columns_G = pairs.log_sums()
    return 0.5 * (rows_B + columns_G[ranks.own])


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
