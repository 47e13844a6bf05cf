"""What `python -m diagonal_train.reinforce` is asked for."""

from dataclasses import dataclass

from diagonal_infra.errors import require
from diagonal_train.streaming.config import check_teacher_name


@dataclass(frozen=True, kw_only=True)
class ReinforceConfig:
    """A dataset and a teacher in, the dataset with the teacher's embeddings out."""

    dataset: str
    """Dataset folder to read."""
    teacher: str
    """Run folder, or a model of open_clip's with its weights: open_clip:ViT-L-14/openai,
    open_clip:local-dir:FOLDER, open_clip:hf-hub:NAME."""
    output: str
    """Dataset folder to write; a run that was broken off goes on where it stood."""
    name: str = "teacher"
    """Name of the members, NAME.npy; several teachers may follow one another."""
    captions: tuple[str, ...] = ("txt",)
    """Members whose captions are embedded, as --stream.captions will name them."""
    batch_size: int = 64
    """Samples embedded at a time."""

    def __post_init__(self) -> None:
        check_teacher_name(self.name, flag="--name")
        require(len(self.captions) > 0, "--captions must name at least one member")
        require(self.batch_size >= 1, f"--batch-size must be at least 1, got {self.batch_size}")
