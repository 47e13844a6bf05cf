import pytest
import torch

from diagonal_infra.errors import UserError
from diagonal_train.config.model import ModelConfig, TextConfig, VisionConfig
from diagonal_train.encoders.layers import Layer, encoder_of, layers_of
from diagonal_train.encoders.models import DualEncoder, build_model
from diagonal_train.recipes import TRAIN

IMAGE = {
    "clip.visual.conv1.weight": 0,
    "clip.visual.positional_embedding": 0,
    "clip.visual.ln_pre.bias": 0,
    "clip.visual.transformer.resblocks.0.ln_1.weight": 1,
    "clip.visual.transformer.resblocks.1.attn.in_proj_weight": 2,
    "clip.visual.ln_post.weight": 2,
    "clip.visual.proj": 3,
}
TEXT = {
    "clip.token_embedding.weight": 0,
    "clip.positional_embedding": 0,
    "clip.transformer.resblocks.2.mlp.c_fc.bias": 3,
    "clip.ln_final.weight": 3,
    "clip.text_projection": 4,
}


def two_and_three_layers() -> DualEncoder:
    vision = VisionConfig(patch_size=8, width=16, layers=2, head_width=8)
    text = TextConfig(context_length=8, width=16, heads=2, layers=3)
    return build_model(ModelConfig(embed_dim=8, image_size=16, vision=vision, text=text))


def test_layers_are_counted_from_the_embeddings_to_the_projection() -> None:
    layers = layers_of(two_and_three_layers())
    for name, number in IMAGE.items():
        assert layers[name] == Layer(encoder="image", number=number, last=3), name
    for name, number in TEXT.items():
        assert layers[name] == Layer(encoder="text", number=number, last=4), name
    assert layers["clip.logit_scale"] is None


def test_a_model_built_into_open_clip_has_its_layers_too() -> None:
    with torch.device("meta"):
        model = build_model(
            ModelConfig(name="ViT-B-16-SigLIP", embed_dim=768, text=TextConfig(context_length=64))
        )
    layers = layers_of(model)
    first = layers["clip.visual.trunk.patch_embed.proj.weight"]
    assert first == Layer(encoder="image", number=0, last=13)
    assert layers["clip.text.transformer.resblocks.11.ln_1.weight"] == Layer(
        encoder="text", number=12, last=13
    )
    assert encoder_of("clip.text.token_embedding.weight") == "text"


def test_an_encoder_without_blocks_is_refused() -> None:
    text = TRAIN["tiny"]().model.text
    with torch.device("meta"):
        model = build_model(ModelConfig(vision=VisionConfig(timm_name="resnet18"), text=text))
    with pytest.raises(UserError, match="the image encoder has no transformer blocks"):
        layers_of(model)
