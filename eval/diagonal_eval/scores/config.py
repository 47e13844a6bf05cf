"""Flags of each kind of scores, and their recipes: a kind's name is a recipe.

python -m diagonal_eval.scores clip --dataset out/d --model RUN_OR_OPENCLIP_NAME --name NAME
python -m diagonal_eval.scores text --dataset out/d --concepts metadata.json
python -m diagonal_eval.scores image --dataset out/d
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from diagonal_eval.recipes import DEMO_DATASET, DEMO_RUN
from diagonal_infra.errors import require
from diagonal_infra.metrics_server import MetricsConfig

OUT = "out/dataset"


@dataclass(frozen=True, kw_only=True)
class ScoresConfig(MetricsConfig):
    """A dataset in, columns out; what every kind has."""

    kind: ClassVar[str]

    dataset: str
    """Dataset folder; a local path or any fsspec URL."""
    name: str
    """The score set: DATASET/scores/KIND/NAME."""
    workers: int = 2
    """Ray workers, of a core each; each scores one shard at a time."""
    local: bool = False
    """Score in this process, without Ray."""

    @property
    def gpus(self) -> float | None:
        """GPUs of each worker; None: one where this machine has any."""
        return 0.0

    def __post_init__(self) -> None:
        require(bool(self.name) and "/" not in self.name, "--name must be a plain folder name")
        require(self.workers >= 1, f"--workers must be at least 1, got {self.workers}")


@dataclass(frozen=True, kw_only=True)
class ModelConfig(ScoresConfig):
    """What the kinds have that run a CLIP model."""

    pretrained: str | None = None
    """Weights for a --model of open_clip's that is named without: a file, or one of its tags."""
    batch_size: int = 256
    """Pictures or captions encoded at a time."""
    gpus_per_worker: float | None = None
    """GPUs that Ray gives each worker; a fraction shares one. None: 1 if this machine has a GPU."""

    @property
    def gpus(self) -> float | None:
        """As the flag says."""
        return self.gpus_per_worker

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.batch_size >= 1, f"--batch-size must be at least 1, got {self.batch_size}")


@dataclass(frozen=True, kw_only=True)
class ClipConfig(ModelConfig):
    """A dual encoder: cosines, and embeddings beside them."""

    kind: ClassVar[str] = "clip"

    model: str
    """Run folder (its last checkpoint counts), RUN/checkpoints/step-00001000, or a model of
    open_clip's with its weights: ViT-B-32 with --pretrained FILE, ViT-B-32/TAG,
    local-dir:FOLDER."""
    name: str = "clip"
    """Written to DATASET/scores/clip/NAME and DATASET/embeddings/NAME."""
    flip_average: bool = False
    """Adds similarity_flipped: the mean over the picture and its mirror image."""


@dataclass(frozen=True, kw_only=True)
class TextConfig(ScoresConfig):
    """Captions; no picture is read."""

    kind: ClassVar[str] = "text"

    name: str = "captions"
    """The score set: DATASET/scores/text/NAME."""
    concepts: str | None = None
    """Metadata entries to look for: a JSON list of texts, or a text file with one a line. Adds the
    column `concepts`: places in that list, from 0."""


@dataclass(frozen=True, kw_only=True)
class ImageConfig(ScoresConfig):
    """Pictures as stored; no model."""

    kind: ClassVar[str] = "image"

    name: str = "pixels"
    """The score set: DATASET/scores/image/NAME."""


@dataclass(frozen=True, kw_only=True)
class SafetyConfig(ScoresConfig):
    """Nudity, faces, toxic captions."""

    kind: ClassVar[str] = "safety"

    name: str = "small"
    """The score set: DATASET/scores/safety/NAME."""


@dataclass(frozen=True, kw_only=True)
class OcrConfig(ModelConfig):
    """Text in pictures."""

    kind: ClassVar[str] = "ocr"

    name: str = "rapidocr"
    """The score set: DATASET/scores/ocr/NAME."""
    model: str | None = None
    """Adds similarity_masked by this model: the cosine of the caption and the picture without its
    text. As in `clip`."""
    batch_size: int = 16
    """Pictures read or encoded at a time."""


def clip() -> ClipConfig:
    """Cosine of picture and caption by a model, and both embeddings."""
    return ClipConfig(dataset=OUT, model="out/run")


def text() -> TextConfig:
    """Language, length and concepts of captions."""
    return TextConfig(dataset=OUT)


def image() -> ImageConfig:
    """Perceptual hash, pixel digest, sharpness, entropy and aspect of pictures."""
    return ImageConfig(dataset=OUT)


def safety() -> SafetyConfig:
    """Nudity, faces and toxic captions, by small models that packages carry."""
    return SafetyConfig(dataset=OUT)


def ocr() -> OcrConfig:
    """Share of text in pictures, its overlap with the caption; with --model T-MARS's score."""
    return OcrConfig(dataset=OUT)


def demo() -> ClipConfig:
    """Image–caption similarity of the demo's samples by the demo's own model."""
    return ClipConfig(dataset=DEMO_DATASET, model=DEMO_RUN, local=True)


SCORES: dict[str, Callable[[], ScoresConfig]] = {
    "clip": clip,
    "text": text,
    "image": image,
    "safety": safety,
    "ocr": ocr,
    "demo": demo,
}
