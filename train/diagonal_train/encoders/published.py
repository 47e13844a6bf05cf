"""Models that others trained, by open_clip's names: what they are, and what they are fed."""

import dataclasses
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import open_clip
import torch

from diagonal_infra.errors import UserError
from diagonal_train.config.model import ModelConfig, TextConfig
from diagonal_train.encoders import image_encoder
from diagonal_train.encoders.models import (
    DualEncoder,
    built_in_settings,
    has_built_in,
    is_plain,
)
from diagonal_train.streaming.open_clip_pixels import Resize
from diagonal_train.streaming.tokenize import ClipTokenizer, Tokenizer

WITH_WEIGHTS = ("local-dir:", "hf-hub:")
"""Names whose weights open_clip finds with the model."""
UNTRAINED = "untrained"
"""In place of weights: the initial ones, drawn from seed 0."""
QUICK_GELU = "-quickgelu"
"""Ends the names of open_clip's models with that activation."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Published:
    """A model of open_clip's own, and what to feed it."""

    model: DualEncoder
    tokenizer: ClipTokenizer | Tokenizer
    config: ModelConfig
    resize: Resize


def build_pretrained(name: str) -> Published:
    """open_clip's own model with weights.

    Args:
        name: MODEL/WEIGHTS with a tag or a file (`ViT-L-14/openai`), or `local-dir:FOLDER`, or
            `hf-hub:NAME`, which have their weights; MODEL/untrained has the initial ones.

    Raises:
        UserError: there is no such model or weights, or they were trained with the other
            activation.
    """
    image_encoder.register()
    model, weights = name, None
    if not name.startswith(WITH_WEIGHTS):
        model, _, weights = name.partition("/")
        if not weights:
            raise UserError(f"open_clip:{name} names no weights; give them as MODEL/WEIGHTS")
        _check_activation(model, weights)
    if weights == UNTRAINED:
        weights = None
        torch.manual_seed(0)
    try:
        with _quietly():
            clip: Any = open_clip.create_model(model, pretrained=weights)
            encoder: Any = open_clip.get_tokenizer(model)
    except (RuntimeError, OSError, ValueError) as error:
        raise UserError(f"open_clip cannot load {name!r}: {error}") from error
    inputs, length = open_clip.get_model_preprocess_cfg(clip), encoder.context_length
    size = inputs["size"]
    config = ModelConfig(
        image_size=size if isinstance(size, int) else size[0],
        mean=tuple(inputs["mean"]),
        std=tuple(inputs["std"]),
        text=TextConfig(context_length=length),
    )
    return Published(
        model=DualEncoder(clip),
        tokenizer=ClipTokenizer(length) if is_plain(encoder) else Tokenizer(encoder, length),
        config=config,
        resize=Resize(
            interpolation=inputs["interpolation"],
            mode=inputs["resize_mode"],
            fill=inputs["fill_color"],
        ),
    )


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the dozen lines that open_clip logs of every model."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _check_activation(model: str, weights: str) -> None:
    """Refuse weights that were trained with QuickGELU in a model with GELU, and the reverse.

    Both load without a word, and the model is several points worse (open_clip's README). Weights
    say nothing of it: a tag's record does, and so does a file's name.
    """
    settings = built_in_settings(model)
    has = bool(settings.get("quick_gelu", False))
    tag = open_clip.get_pretrained_cfg(model.removesuffix(QUICK_GELU), weights)
    if tag:
        wants = bool(tag.get("quick_gelu", False))
    elif "openai" in weights.lower() or "quickgelu" in weights.lower():
        wants = True
    else:
        return
    right = f"{model.removesuffix(QUICK_GELU)}{QUICK_GELU if wants else ''}"
    if has != wants and right != model and has_built_in(right):
        names = ("QuickGELU", "GELU") if wants else ("GELU", "QuickGELU")
        raise UserError(
            f"weights {weights!r} were trained with {names[0]}, {model} has {names[1]} and would "
            f"be silently worse; name the model {right}"
        )
