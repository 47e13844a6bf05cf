"""What the loader delivers: global batches in parts, and parts put together.

Shape suffixes in comments: B samples, C colours, H and W pixels, T tokens, K uniforms, E numbers of
a teacher's embedding.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor

STAGES = ("order", "read", "decode", "tokenize")
"""What `Batch.seconds` has the CPU time of."""
NOISE_WIDTH = 32
"""Uniforms that a sample's augmentation may use; a new step of it takes columns of its own, so that
it changes no old one."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Samples of one global batch in lane order: a worker's part of it, or a rank's."""

    images: Tensor
    """B×C×H×W uint8, RGB at the size asked for, the colours innermost (channels last)."""
    tokens: Tensor
    """B×T int64."""
    uids: list[str]
    """Of the samples used, replacements included; the key, of foreign tars."""
    noise: Tensor
    """B×K float32 in [0, 1): decides each sample's augmentation."""
    teacher: Tensor | None = None
    """B×2×E float16, if asked for: a teacher's embeddings of the image and of the caption."""
    replaced: Counter[str] = field(default_factory=Counter)
    """Samples replaced in this batch, by the cause of each."""
    seconds: Counter[str] = field(default_factory=Counter)
    """CPU-seconds by stage, of all who worked on it."""

    def to(self, device: torch.device) -> Self:
        """The same batch on a device, through pinned memory."""
        moved = {
            name: getattr(self, name).pin_memory().to(device, non_blocking=True)
            for name in ("images", "tokens", "noise", "teacher")
            if getattr(self, name) is not None
        }
        return replace(self, **moved)


@dataclass(frozen=True, kw_only=True)
class RawBatch:
    """Samples of one global batch as they lie in the tars, nothing decoded."""

    images: list[bytes]
    captions: list[str]
    uids: list[str]
    replaced: Counter[str] = field(default_factory=Counter)


def concatenate(parts: list[Batch]) -> Batch:
    """One batch out of parts with consecutive lanes."""
    if len(parts) == 1:
        return parts[0]
    teachers = [part.teacher for part in parts if part.teacher is not None]
    return Batch(
        images=torch.cat([part.images for part in parts]),
        tokens=torch.cat([part.tokens for part in parts]),
        uids=[uid for part in parts for uid in part.uids],
        noise=torch.cat([part.noise for part in parts]),
        teacher=torch.cat(teachers) if teachers else None,
        replaced=sum((part.replaced for part in parts), Counter()),
        seconds=sum((part.seconds for part in parts), Counter()),
    )
