"""Learning from a teacher whose embeddings are stored with the data."""

from dataclasses import dataclass

from diagonal_infra.errors import require
from diagonal_train.streaming.config import check_teacher_name


@dataclass(frozen=True, kw_only=True)
class DistillConfig:
    """Dataset reinforcement (Vasu et al., 2024, MobileCLIP); off by default."""

    weight: float = 0.0
    """Share of the distillation loss in the loss; the contrastive loss has the rest. 0 reads no
    teacher."""
    teacher: str = "teacher"
    """Name of the members that hold its embeddings, NAME.npy."""
    logit_scale: float | None = None
    """What the teacher's cosines are multiplied by; None is its own, as the dataset records it."""

    def __post_init__(self) -> None:
        weight, scale = self.weight, self.logit_scale
        require(0 <= weight <= 1, f"--distill.weight is a share, 0 to 1, got {weight}")
        check_teacher_name(self.teacher, flag="--distill.teacher")
        require(scale is None or scale > 0, f"--distill.logit-scale must be above 0, got {scale}")
