"""How the model is spread over ranks."""

from dataclasses import dataclass
from typing import Literal

from diagonal_infra.errors import require

ParallelKind = Literal["ddp", "fsdp", "hsdp"]


@dataclass(frozen=True, kw_only=True)
class ParallelConfig:
    """How weights, gradients and optimizer state are spread; the losses are the same."""

    kind: ParallelKind = "ddp"
    """`ddp` keeps all on every rank; `fsdp` shards over all ranks; `hsdp` over groups of them."""
    shard_size: int = 8
    """Ranks that `hsdp` shards over, often those of one node; the groups hold the same."""

    def __post_init__(self) -> None:
        size = self.shard_size
        require(size >= 2, f"--parallel.shard-size must be at least 2, got {size}")
