"""The dual encoder: an image encoder, a text encoder and a learned logit scale.

The encoders, their initial weights and the tokenizer are open_clip's; this file alone imports it.

Shape suffixes: B samples, C colours, H and W pixels, T tokens, D embedding width.
"""

import dataclasses
import math
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from torch import Tensor, nn

from diagonal_infra.errors import UserError
from diagonal_train import image_encoder
from diagonal_train.config.model import ModelConfig
from diagonal_train.streaming.tokenize import ClipTokenizer, Tokenizer

VOCABULARY_SIZE = 49_408
"""CLIP's lower-cased byte pairs with start and end."""


class DualEncoder(nn.Module):
    """Embeds images and texts in one space; all outputs are float32 and have length 1."""

    def __init__(self, clip: Any) -> None:
        super().__init__()
        self.clip = clip

    @property
    def logit_scale(self) -> nn.Parameter:
        """Log of what cosines are multiplied by."""
        return self.clip.logit_scale

    def encode_image(self, images_BCHW: Tensor) -> Tensor:
        """Embeddings B×D of normalised images."""
        return F.normalize(self.clip.encode_image(images_BCHW).float(), dim=-1)

    def encode_text(self, tokens_BT: Tensor) -> Tensor:
        """Embeddings B×D of token ids."""
        return F.normalize(self.clip.encode_text(tokens_BT).float(), dim=-1)

    def forward(self, images_BCHW: Tensor, tokens_BT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Image embeddings, text embeddings, and the factor that makes cosines logits."""
        # A bare parameter as output would be marked ready twice by DDP.
        scale = self.logit_scale.exp()
        return self.encode_image(images_BCHW), self.encode_text(tokens_BT), scale


def build_model(config: ModelConfig) -> DualEncoder:
    """The model with fresh weights, drawn from torch's generator.

    Raises:
        UserError: `config.name` is unknown to open_clip, or sizes do not fit it.
    """
    image_encoder.register()
    scale = math.log(1 / config.initial_temperature)
    if config.name is None:
        _check_image_size(config)
        clip: Any = CLIP(**open_clip_settings(config), init_logit_scale=scale)
    else:
        _check_sizes(config, built_in_settings(config.name))
        clip = open_clip.create_model(
            config.name,
            load_weights=False,
            pretrained_text=False,
            # Otherwise it moves the weights to the CPU, even out of `with torch.device("meta")`.
            device=torch.get_default_device(),
        )
        with torch.no_grad():
            clip.logit_scale.fill_(scale)
        # The softmax loss does not use SigLIP's bias, and DDP refuses idle parameters.
        clip.logit_bias = None
    return DualEncoder(clip).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # torch's stub lacks the overload


def build_tokenizer(config: ModelConfig) -> ClipTokenizer | Tokenizer:
    """The model's tokenizer: token ids are those of open_clip."""
    length = config.text.context_length
    if config.name is None:
        return ClipTokenizer(length)
    encoder: Any = open_clip.get_tokenizer(config.name, context_length=length)
    return ClipTokenizer(length) if is_plain(encoder) else Tokenizer(encoder, length)


def open_clip_settings(config: ModelConfig) -> dict[str, Any]:
    """The configuration in open_clip's terms; the keys of its model_configs/*.json."""
    vision: dict[str, Any] = {"image_size": config.image_size}
    if config.vision.timm_name is None:
        vision |= {
            key: getattr(config.vision, key)
            for key in ("patch_size", "width", "layers", "head_width")
        }
    else:
        vision |= {
            "timm_model_name": config.vision.timm_name,
            "timm_pool": "",
        }
    return {
        "embed_dim": config.embed_dim,
        "quick_gelu": config.quick_gelu,
        "vision_cfg": vision,
        "text_cfg": {**dataclasses.asdict(config.text), "vocab_size": VOCABULARY_SIZE},
    }


def built_in_settings(name: str) -> dict[str, Any]:
    """open_clip's own configuration of that name.

    Raises:
        UserError: it has none.
    """
    settings = open_clip.get_model_config(name)
    if settings is None:
        raise UserError(f"open_clip has no model {name!r}; see open_clip.list_models()")
    return settings


def is_plain(encoder: Any) -> bool:
    """Whether it tokenizes as CLIP did: its vocabulary, lower case, cut at the end."""
    plain = open_clip.SimpleTokenizer()
    return type(encoder) is type(plain) and all(
        getattr(encoder, name) == getattr(plain, name)
        for name in ("encoder", "bpe_ranks", "clean_fn", "reduction_fn")
    )


def _check_image_size(config: ModelConfig) -> None:
    name, size = image_encoder.NAME, image_encoder.IMAGE_SIZE
    if config.vision.timm_name == name and config.image_size != size:
        raise UserError(f"{name} needs --model.image-size {size}, got {config.image_size}")


def _check_sizes(config: ModelConfig, settings: dict[str, Any]) -> None:
    own = {
        "--model.embed-dim": config.embed_dim,
        "--model.image-size": config.image_size,
        "--model.text.context-length": config.text.context_length,
    }
    theirs = {
        "--model.embed-dim": settings["embed_dim"],
        "--model.image-size": settings["vision_cfg"].get("image_size", 224),
        "--model.text.context-length": settings["text_cfg"].get("context_length", 77),
    }
    wrong = [f"{flag} {theirs[flag]}" for flag in own if own[flag] != theirs[flag]]
    if wrong:
        raise UserError(f"open_clip's {config.name} needs {', '.join(wrong)}")
