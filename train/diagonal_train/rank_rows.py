"""Which rows of the global batch each rank has, and how they come together.

    rank 0: a a a    rank 1: b b b    rank 2: c c     ─gather─►     a a a b b b c c   on every rank

Ranks may have different numbers of rows; the shorter ones are padded on the way.

Shape suffixes: B rows of this rank, G rows of all ranks (rank-major), L rows of a chunk, D width.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from diagonal_infra.errors import UserError
from diagonal_train.distributed import World
from diagonal_train.recovering.watchdog import collective

CHUNK_BYTES = 32 << 20
"""Of all ranks' rows that are moved at a time."""


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

        The collectives over lists are the ones that neither torch 2.11 nor 2.13 deprecates. They
        hold what they move once more, so a chunk is moved at a time.
        """
        if len(self.counts) == 1:
            return rows_BD
        all_GD = rows_BD.new_empty(sum(self.counts), *rows_BD.shape[1:])
        for chunk in self._chunks(rows_BD):
            own_LD = _padded(rows_BD[chunk], chunk)
            parts = [torch.empty_like(own_LD) for _ in self.counts]
            with collective("gather rows"):
                dist.all_gather(parts, own_LD)
            for rows, part in zip(all_GD.split(self.counts), parts, strict=True):
                rows[chunk] = part[: len(rows[chunk])]
        return all_GD

    def scatter_sums(self, rows_GD: Tensor) -> Tensor:
        """This rank's rows of the sum over all ranks, B×D."""
        if len(self.counts) == 1:
            return rows_GD
        own_BD = torch.empty_like(rows_GD[self.own])
        for chunk in self._chunks(rows_GD):
            parts = [_padded(rows[chunk], chunk) for rows in rows_GD.split(self.counts)]
            own_LD = torch.empty_like(parts[0])
            with collective("scatter sums"):
                dist.reduce_scatter(own_LD, parts)
            own_BD[chunk] = own_LD[: len(own_BD[chunk])]
        return own_BD

    def _chunks(self, rows: Tensor) -> Iterator[slice]:
        """Rows of each rank that are moved at a time; the last rows are missing on some."""
        row_bytes = max(rows[:1].nbytes, 1) * len(self.counts)
        step = max(CHUNK_BYTES // row_bytes, 1)
        for first in range(0, max(self.counts), step):
            yield slice(first, min(first + step, max(self.counts)))


def _padded(rows_BD: Tensor, chunk: slice) -> Tensor:
    missing = chunk.stop - chunk.start - len(rows_BD)
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
