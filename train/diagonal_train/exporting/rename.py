"""open_clip's weight names to transformers'.

transformer.resblocks.3.mlp.c_fc.weight → text_model.encoder.layers.3.mlp.fc1.weight
…resblocks.3.attn.in_proj_weight        → …layers.3.self_attn.{q,k,v}_proj.weight, in that order
text_projection (W×D)                   → text_projection.weight (D×W)
"""

import re
from collections.abc import Iterator

from torch import Tensor

BLOCK = re.compile(r"(visual\.|)transformer\.resblocks\.(\d+)\.(.+)\.(weight|bias)")
IN_PROJECTION = re.compile(r"(visual\.|)transformer\.resblocks\.(\d+)\.attn\.in_proj_(weight|bias)")
PARTS = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
TEXT = {
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "logit_scale": "logit_scale",
}
VISION = {
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    # transformers' own spelling
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
}
TRANSPOSED = {
    "text_projection": "text_projection.weight",
    "visual.proj": "visual_projection.weight",
}
OWN_ENCODER = re.compile(r"visual\.trunk\.(.+)")
OWN_PROJECTION = "visual.head.proj.weight"


def renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a CLIP under the names that transformers' CLIPModel has for them."""
    return dict(pair for name, value in weights.items() for pair in _renamed(name, value))


def _renamed(name: str, value: Tensor) -> Iterator[tuple[str, Tensor]]:
    if found := IN_PROJECTION.fullmatch(name):
        layer = _layer(found[1], found[2])
        for letter, part in zip("qkv", value.chunk(3), strict=True):
            yield f"{layer}.self_attn.{letter}_proj.{found[3]}", part
    elif found := BLOCK.fullmatch(name):
        yield f"{_layer(found[1], found[2])}.{PARTS[found[3]]}.{found[4]}", value
    elif name in TRANSPOSED:
        yield TRANSPOSED[name], value.T
    elif found := OWN_ENCODER.fullmatch(name):
        yield f"vision_model.{found[1]}", value
    elif name == OWN_PROJECTION:
        yield TRANSPOSED["visual.proj"], value
    else:
        yield (TEXT | VISION)[name], value


def _layer(prefix: str, number: str) -> str:
    return f"{'vision_model' if prefix else 'text_model'}.encoder.layers.{number}"
