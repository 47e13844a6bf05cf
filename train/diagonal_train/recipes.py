"""Named training runs: two small ones of our own, and those of published/.

python -m diagonal_train demo
python -m diagonal_train demo --data out/d --filter basic --run out/runs/a
torchrun --nproc-per-node 2 -m -- diagonal_train demo --run out/runs/b
python -m diagonal_train demo --launcher ray --workers 2
python -m diagonal_train vit-b32 --dry-run
torchrun --nnodes 16 --nproc-per-node 8 … -m -- diagonal_train vit-b32 --data s3://bucket/web
"""

from collections.abc import Callable

from diagonal_train.config.augment import AugmentConfig
from diagonal_train.config.checkpoint import CheckpointConfig
from diagonal_train.config.logging import LoggingConfig
from diagonal_train.config.model import ModelConfig, TextConfig, VisionConfig
from diagonal_train.config.optimizer import OptimizerConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.published import academic, clip, clipa, datacomp, siglip
from diagonal_train.streaming.config import LoaderConfig


def demo() -> TrainConfig:
    """A few minutes on two cores; learns to name emoji it has never seen drawn that way."""
    vision = VisionConfig(timm_name="diagonal_patch_resnet_48")
    text = TextConfig(context_length=16, width=64, heads=1, layers=1)
    changes = {"flip": 0.5, "background": 0.3, "affine": 1, "colour": 0.8, "hue": 0.2}
    return TrainConfig(
        model=ModelConfig(embed_dim=256, image_size=48, vision=vision, text=text),
        stream=LoaderConfig(
            lanes=16, window=1, num_workers=1, crop_scale=(0.7, 1), crop_ratio=(0.8, 1.25)
        ),
        augment=AugmentConfig(**changes, greyscale=0.25, outline=0.4, erase=0.2),
        optimizer=OptimizerConfig(
            lr=1e-3, eps=1e-8, weight_decay=0.1, warmup_steps=50, clip_grad_norm=1
        ),
        global_batch_size=128,
        samples_seen=204_800,
        precision="fp32",
        checkpoint=CheckpointConfig(every_steps=200),
    )


def tiny() -> TrainConfig:
    """Twenty steps of the smallest vision transformer, in seconds; for smoke tests."""
    vision = VisionConfig(patch_size=8, width=32, layers=1, head_width=16)
    text = TextConfig(context_length=12, width=32, heads=2, layers=1)
    return TrainConfig(
        model=ModelConfig(embed_dim=32, image_size=32, vision=vision, text=text),
        stream=LoaderConfig(lanes=8, window=4, num_workers=0, crop_scale=(0.6, 1)),
        augment=AugmentConfig(flip=0.5, colour=0.5),
        optimizer=OptimizerConfig(lr=2e-3, warmup_steps=2),
        global_batch_size=16,
        samples_seen=320,
        checkpoint=CheckpointConfig(every_steps=10),
        precision="fp32",
        logging=LoggingConfig(measure_every_steps=1),
    )


TRAIN: dict[str, Callable[[], TrainConfig]] = {
    "demo": demo,
    "tiny": tiny,
    "rn50": clip.rn50,
    "rn101": clip.rn101,
    "rn50x4": clip.rn50x4,
    "rn50x16": clip.rn50x16,
    "rn50x64": clip.rn50x64,
    "vit-b32": clip.vit_b32,
    "vit-b16": clip.vit_b16,
    "vit-l14": clip.vit_l14,
    "vit-l14-336": clip.vit_l14_336,
    "siglip-b16-224": siglip.siglip_b16_224,
    "clipa-l16": clipa.clipa_l16,
    "datacomp-small": datacomp.datacomp_small,
    "datacomp-medium": datacomp.datacomp_medium,
    "datacomp-large": datacomp.datacomp_large,
    "datacomp-xlarge": datacomp.datacomp_xlarge,
    "cc3m-rn50": academic.cc3m_rn50,
    "cc12m-rn50": academic.cc12m_rn50,
    "yfcc15m-rn50": academic.yfcc15m_rn50,
}
