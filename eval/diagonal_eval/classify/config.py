"""Configuration of classify, and its recipe.

python -m diagonal_eval.zeroshot classify --checkpoint runs/a --labels "a cat" "a dog" -- 1.jpg
"""

from dataclasses import dataclass
from typing import Literal

from diagonal_infra.cli import Positional
from diagonal_infra.errors import require

TEMPLATES = ("{}", "a photo of a {}", "a picture of a {}", "an image of a {}")


@dataclass(frozen=True, kw_only=True)
class ClassifyConfig:
    """Pictures and labels in, probabilities out."""

    images: Positional[tuple[str, ...]] = ()
    """Pictures: files, folders (their pictures), globs, URLs; after -- if they follow --labels."""
    checkpoint: str = "out/run"
    """Run folder (its last checkpoint counts), RUN/checkpoints/step-00001000, or
    open_clip:MODEL."""
    labels: tuple[str, ...] = ()
    """What the pictures may show, each in quotes."""
    labels_file: str = ""
    """More labels, one a line."""
    templates: tuple[str, ...] = TEMPLATES
    """Prompts with {} for the label; a label's embedding is the mean over them. The default is the
    bare label, a photo, a picture and an image of it. Of a label that begins with a, an or the, the
    article stands for the template's: "a photo of a {}" and "the sea" give "a photo of the sea"."""
    top: int = 5
    """Labels to show for each picture."""
    close: float = 0.1
    """A picture whose best two labels differ by less than this probability gets a note: better
    abstain than trust the order. 0: only ties."""
    format: Literal["table", "json", "csv"] = "table"
    """What goes to stdout."""
    batch_size: int = 64
    """Pictures or prompts encoded at a time."""

    def __post_init__(self) -> None:
        require(self.top >= 1, f"--top must be at least 1, got {self.top}")
        require(0 <= self.close <= 1, f"--close must be 0–1, got {self.close}")
        require(self.batch_size >= 1, f"--batch-size must be at least 1, got {self.batch_size}")
        require(bool(self.templates), "--templates needs at least one template, for instance '{}'")
        for template in self.templates:
            require("{}" in template, f"--templates {template!r} has no {{}} for the label")


def classify() -> ClassifyConfig:
    """Which of these labels fits each picture."""
    return ClassifyConfig()


ZEROSHOT = {"classify": classify}
