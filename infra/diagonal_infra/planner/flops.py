"""The work of a dual encoder of Vision Transformer and text transformer, from its widths.

FLOPs are two per multiply-add; norms, activations and the loss are left out. For ViT-B/32, B/16,
L/14 and L/14 at 336 pixels they agree with open_clip's model_profile.csv, which
tests/infra/planner/test_flops.py asserts.
"""

from dataclasses import dataclass

from diagonal_infra.errors import require

MLP_RATIO = 4
TRAINING_PASSES = 3
"""Forward, and twice as much backward; blocks that are computed again are not counted."""


@dataclass(frozen=True, kw_only=True)
class ModelPlan:
    """Widths of the two encoders."""

    image_size: int = 224
    """Pixels of a side."""
    patch_size: int = 32
    """Pixels of a patch's side."""
    image_width: int = 768
    """Width of the image encoder."""
    image_layers: int = 12
    """Blocks of the image encoder."""
    text_width: int = 512
    """Width of the text encoder."""
    text_layers: int = 12
    """Blocks of the text encoder."""
    context_length: int = 77
    """Tokens of a caption; shorter ones are padded."""
    embed_dim: int = 512
    """Width of the shared space."""

    def __post_init__(self) -> None:
        require(
            self.image_size % self.patch_size == 0,
            f"--model.image-size {self.image_size} is no multiple of --model.patch-size "
            f"{self.patch_size}",
        )


def forward_flops(model: ModelPlan) -> float:
    """Of one pair."""
    patches = (model.image_size // model.patch_size) ** 2
    stem = 2 * patches * 3 * model.patch_size**2 * model.image_width
    image = transformer_flops(patches + 1, model.image_width, model.image_layers)
    text = transformer_flops(model.context_length, model.text_width, model.text_layers)
    heads = 2 * (model.image_width + model.text_width) * model.embed_dim
    return stem + image + text + heads


def transformer_flops(tokens: int, width: int, layers: int) -> float:
    """Of all blocks: four projections, an MLP of four times the width, and attention."""
    products = 2 * (4 + 2 * MLP_RATIO) * width**2
    attention = 4 * tokens * width
    return float(layers * tokens * (products + attention))


def training_flops(model: ModelPlan) -> float:
    """Of one pair, forward and backward."""
    return TRAINING_PASSES * forward_flops(model)


def gpu_hours(samples: float, flops: float, tera_flops: float, utilisation: float) -> float:
    """GPUs × hours for so many samples of so many FLOPs at a share of the peak."""
    return samples * flops / (tera_flops * 1e12 * utilisation) / 3600
