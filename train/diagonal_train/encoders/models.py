"""The dual encoder: an image encoder, a text encoder, a learned logit scale and maybe a bias.

The encoders, their initial weights and the tokenizer are open_clip's; only this file,
`published`, `pooled` and `needed_rows` import it.

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
from diagonal_train.config.model import ModelConfig
from diagonal_train.config.train import Loss
from diagonal_train.encoders import (
    image_encoder,
    needed_rows,
    pooled,
    shared_prefixes,
    text_trim,
)
from diagonal_train.encoders.text_trim import Captions
from diagonal_train.streaming.tokenize import ClipTokenizer, Tokenizer

VOCABULARY_SIZE = 49_408
"""CLIP's lower-cased byte pairs with start and end."""
INITIAL_TEMPERATURE = {"softmax": 0.07, "sigmoid": 0.1}
"""Of the papers: Radford et al., 2021, §2.5; Zhai et al., 2023, §3.2."""
INITIAL_BIAS = -10.0
"""Of the sigmoid loss (Zhai et al., 2023): at first, nearly all pairs are taken for strangers."""


class DualEncoder(nn.Module):
    """Embeds images and texts in one space; all outputs are float32 and have length 1."""

    def __init__(self, clip: Any) -> None:
        super().__init__()
        self.clip = clip
        self.trim_text = True
        """Whether captions are cut behind their ends, if the text encoder allows it."""
        self.share_prefixes = False
        """Whether `encode_text`, without gradients, computes each distinct beginning once, if the
        text encoder allows it. Rounding then depends on the other texts and the threads."""

    @property
    def logit_scale(self) -> nn.Parameter:
        """Log of what cosines are multiplied by."""
        return self.clip.logit_scale

    @property
    def logit_bias(self) -> nn.Parameter | None:
        """What is added to logits; the sigmoid loss alone has it."""
        return self.clip.logit_bias

    def encode_image(self, images_BCHW: Tensor) -> Tensor:
        """Embeddings B×D of normalised images."""
        return _normalised(self.clip.encode_image(images_BCHW))

    def encode_pooled(self, images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Features before the projection, B×P, and embeddings B×D; see `pooled`."""
        pooled_BP, features_BD = pooled.encode_pooled(self.clip.visual, images_BCHW)
        return pooled_BP.float(), _normalised(features_BD)

    def encode_text(self, tokens_BT: Tensor) -> Tensor:
        """Embeddings B×D of token ids."""
        if not self.trims_text:
            return self._encode_captions(tokens_BT)
        lengths_B = self.text_lengths(tokens_BT).cpu()
        share = self.share_prefixes and not torch.is_grad_enabled()
        if share and needed_rows.can_run(self.clip.transformer):
            return _normalised(shared_prefixes.encode_text(self.clip, tokens_BT, lengths_B))
        return self._encode_captions(text_trim.cut_captions(tokens_BT, lengths_B))

    @property
    def trims_text(self) -> bool:
        """Whether `forward` takes captions that are cut behind their end."""
        return self.trim_text and text_trim.can_trim(self.clip)

    def text_lengths(self, tokens_BT: Tensor) -> Tensor:
        """Tokens that each embedding depends on, B."""
        return text_trim.end_of_text(self.clip, tokens_BT) + 1

    def forward(
        self, images_BCHW: Tensor, captions: Tensor | Captions, noise_BK: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Image embeddings, text embeddings, the factor that makes cosines logits, and the bias.

        Captions are token ids, B×T, or cut ones if `trims_text`. The noise decides which patches
        are left out; without patch dropout it is not needed. There is no fourth output if the
        model has no bias.
        """
        if noise_BK is not None:
            self.clip.visual.patch_dropout.noise_BK = noise_BK
        # A bare parameter as output would be marked ready twice by DDP.
        scale = self.logit_scale.exp()
        outputs = self.encode_image(images_BCHW), self._encode_captions(captions), scale
        return outputs if self.logit_bias is None else (*outputs, self.logit_bias * 1)

    def _encode_captions(self, captions: Tensor | Captions) -> Tensor:
        if isinstance(captions, Tensor):
            return _normalised(self.clip.encode_text(captions))
        rows = [text_trim.encode_text(self.clip, tokens_GT) for tokens_GT in captions.groups]
        return _normalised(torch.cat(rows)[captions.places_B])


def build_model(config: ModelConfig, loss: Loss = "softmax") -> DualEncoder:
    """The model with fresh weights, drawn from torch's generator, and what its loss learns.

    Raises:
        UserError: `config.name` is unknown to open_clip, or sizes do not fit it.
    """
    image_encoder.register()
    scale = math.log(1 / (config.initial_temperature or INITIAL_TEMPERATURE[loss]))
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
    # A built-in SigLIP has a bias that the softmax loss does not use, and DDP refuses idle ones.
    clip.logit_bias = None
    if loss == "sigmoid":
        clip.logit_bias = nn.Parameter(torch.full_like(clip.logit_scale, INITIAL_BIAS))
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


def has_built_in(name: str) -> bool:
    """Whether open_clip has a configuration of that name."""
    return open_clip.get_model_config(name) is not None


def is_plain(encoder: Any) -> bool:
    """Whether it tokenizes as CLIP did: its vocabulary, lower case, cut at the end."""
    plain = open_clip.SimpleTokenizer()
    return type(encoder) is type(plain) and all(
        getattr(encoder, name) == getattr(plain, name)
        for name in ("encoder", "bpe_ranks", "clean_fn", "reduction_fn")
    )


def _normalised(features_BD: Tensor) -> Tensor:
    if features_BD.dtype != torch.float64:
        features_BD = features_BD.float()
    return F.normalize(features_BD, dim=-1)


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
