"""CLIPA: larger encoders see fewer tokens (Li et al., 2023, "An Inverse Scaling Law for CLIP").

The published run has two stages: six passes over LAION-400M at 96 pixels and 8 tokens, then 0.36 of
a pass at full size. This is the first. Captions are cut after 8 tokens, where the authors keep the
nouns; the image's embedding is its class token's, where they take the mean.
"""

from diagonal_train.config.augment import AugmentConfig
from diagonal_train.config.model import ModelConfig, TextConfig
from diagonal_train.config.optimizer import OptimizerConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.published.clip import large_vision, loader

PASS = 400_000_000
"""Samples of LAION-400M, about."""


def clipa_l16() -> TrainConfig:
    """CLIPA's ViT-L/16 at 37 tokens of image and 8 of text: 3 days on 8 A100 for its authors."""
    return TrainConfig(
        data="out/dataset",
        run="out/runs/clipa-l16",
        model=ModelConfig(
            embed_dim=768,
            image_size=96,
            vision=large_vision(patch_size=16),
            text=TextConfig(context_length=8, width=768, heads=12),
        ),
        stream=loader(transform="open_clip", crop_scale=(0.4, 1.0)),
        augment=AugmentConfig(colour=0.8, greyscale=0.2),
        optimizer=OptimizerConfig(lr=1.024e-3, beta2=0.95, weight_decay=0.2, warmup_steps=1563),
        global_batch_size=32_768,
        samples_seen=6 * PASS,
    )
