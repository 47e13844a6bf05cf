"""The dual encoder's configuration, which a run folder keeps."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from diagonal_infra.errors import UserError, require
from diagonal_train.streaming.config import CLIP_MEAN, CLIP_STD


@dataclass(frozen=True, kw_only=True)
class VisionConfig:
    """The image encoder: a vision transformer, or a timm model by name."""

    patch_size: int = 32
    """Pixels of a patch's side."""
    width: int = 768
    """Channels of the transformer."""
    layers: int = 12
    """Transformer blocks."""
    head_width: int = 64
    """Channels of one attention head."""
    timm_name: str | None = None
    """A timm model, or image_encoder.py's, instead of the transformer; the above is then unused."""


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """The text encoder: a causal transformer over CLIP's byte-pair vocabulary."""

    context_length: int = 77
    """Tokens of a caption, start and end included; longer captions are cut."""
    width: int = 512
    """Channels of the transformer."""
    heads: int = 8
    """Attention heads."""
    layers: int = 12
    """Transformer blocks."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The dual encoder."""

    name: str | None = None
    """A configuration built into open_clip (`ViT-B-16-SigLIP`, …) instead of `vision` and `text`;
    embed_dim, image_size and text.context_length must be the ones it has."""
    embed_dim: int = 512
    """Width of the common embedding."""
    image_size: int = 224
    """Pixels of the side of the square that the image encoder sees."""
    quick_gelu: bool = False
    """x·sigmoid(1.702x) in place of GELU, as in OpenAI's weights."""
    initial_temperature: float | None = None
    """Logits are divided by it at the start; `logit_scale` begins at the log of its inverse. None
    is 0.07, and 0.1 with --loss sigmoid."""
    mean: tuple[float, float, float] = CLIP_MEAN
    """RGB mean taken off the pixels, of 1."""
    std: tuple[float, float, float] = CLIP_STD
    """RGB deviation the pixels are divided by, of 1."""
    vision: VisionConfig = field(default_factory=VisionConfig)
    """The image encoder."""
    text: TextConfig = field(default_factory=TextConfig)
    """The text encoder."""

    def __post_init__(self) -> None:
        require(self.image_size >= 1, "--model.image-size must be at least 1")
        start = self.initial_temperature
        require(start is None or 0.01 <= start <= 1, "--model.initial-temperature is in 0.01–1")


def model_config_from(record: dict[str, Any]) -> ModelConfig:
    """The model part of a run's config.json as the dataclass it was.

    Raises:
        UserError: other code wrote it, with other fields.
    """
    values = _checked(ModelConfig, record)
    return ModelConfig(
        **{
            **values,
            "mean": tuple(values["mean"]),
            "std": tuple(values["std"]),
            "vision": VisionConfig(**_checked(VisionConfig, values["vision"])),
            "text": TextConfig(**_checked(TextConfig, values["text"])),
        }
    )


def _checked(kind: type, record: dict[str, Any]) -> dict[str, Any]:
    own = {field.name for field in dataclasses.fields(kind)}
    wrong = [f"lacks {name}" for name in sorted(own - record.keys())]
    wrong += [f"has {name}, unknown here" for name in sorted(record.keys() - own)]
    if wrong:
        raise UserError(
            f"config.json was written by other code: its {kind.__name__} {', '.join(wrong)}; "
            "use the code revision that it names, or train again"
        )
    return record
