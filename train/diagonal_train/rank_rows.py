"""Which rows of the global batch each rank has, and how they come together.

    rank 0: a a a    rank 1: b b b    rank 2: c c     ─gather─►     a a a b b b c c   on every rank

Ranks may have different numbers of rows; the shorter ones are padded on the way.

Shape suffixes: B rows of this rank, G rows of all ranks (rank-major), L rows of the longest rank,
D width.
"""

from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from diagonal_infra.errors import UserError
from diagonal_train.distributed import World
from diagonal_train.watchdog import collective


@dataclass(frozen=True, kw_only=True)
class RankRows:
    """Rows by rank, and which of all are this rank's."""

    counts: tuple[int, ...]
    rank: int

    @property
    def own(self) -> slice:
        """Where this rank's rows stand among all."""
        first = sum(self.counts[: self.rank])
        return slice(first, first + self.counts[self.rank])

    @property
    def mean_count(self) -> float:
        """Rows of a rank on average: a sum over this rank's rows, divided by it, is a number whose
        mean over ranks is the mean over all rows."""
        return sum(self.counts) / len(self.counts)

    @classmethod
    def equal(cls, count: int, world: World) -> "RankRows":
        """All ranks have as many."""
        return cls(counts=(count,) * world.world_size, rank=world.rank)

    def gather(self, rows_BD: Tensor) -> Tensor:
        """The rows of all ranks, G×D.

        The collectives over lists are the ones that neither torch 2.11 nor 2.13 deprecates.
        """
        if len(self.counts) == 1:
            return rows_BD
        padded_LD = self._padded(rows_BD)
        parts = [torch.empty_like(padded_LD) for _ in self.counts]
        with collective("gather rows"):
            dist.all_gather(parts, padded_LD)
        return torch.cat([part[:count] for part, count in zip(parts, self.counts, strict=True)])

    def scatter_sums(self, rows_GD: Tensor) -> Tensor:
        """This rank's rows of the sum over all ranks, B×D."""
        if len(self.counts) == 1:
            return rows_GD
        parts = [self._padded(part) for part in rows_GD.split(list(self.counts))]
        own_LD = torch.empty_like(parts[0])
        with collective("scatter sums"):
            dist.reduce_scatter(own_LD, parts)
        return own_LD[: self.counts[self.rank]]

    def _padded(self, rows_BD: Tensor) -> Tensor:
        missing = max(self.counts) - len(rows_BD)
        return F.pad(rows_BD, (0, 0, 0, missing)) if missing else rows_BD.contiguous()


def rank_rows(images: int, texts: int, device: torch.device) -> RankRows:
    """The ranks' numbers of samples, this rank having so many images and texts.

    Raises:
        UserError: on every rank, if one has no samples or unequal numbers of images and texts.
    """
    own = torch.tensor([images, texts], device=device)
    rank, parts = 0, [own]
    if dist.is_initialized() and dist.get_world_size() > 1:
        rank = dist.get_rank()
        parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        with collective("count rows"):
            dist.all_gather(parts, own)
    pairs = torch.stack(parts).tolist()
    if any(left != right or left == 0 for left, right in pairs):
        found = ", ".join(
            f"{left} and {right} on rank {i}" for i, (left, right) in enumerate(pairs)
        )
        raise UserError(
            "the loss needs at least one image on each rank and as many captions as images; "
            f"got {found}"
        )
    return RankRows(counts=tuple(left for left, _ in pairs), rank=rank)
