"""DataComp's four scales: one training run for each size of pool (Gadre et al., 2023).

The pool is what changes between entries, the run does not: the samples seen are those of the pool
before filtering. Activations are GELU and crops are open_clip's, as in its trainer.
"""

from diagonal_train.config.model import ModelConfig
from diagonal_train.config.optimizer import OptimizerConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.published.clip import TEXT_768, large_vision, loader, vit_model

OPTIMIZER = OptimizerConfig(lr=5e-4, beta2=0.98, weight_decay=0.2, warmup_steps=500)


def datacomp_small() -> TrainConfig:
    """DataComp small: 12.8 M samples through a ViT-B/32."""
    model = vit_model(patch_size=32, quick_gelu=False)
    return _scale("small", model, samples_seen=12_800_000, global_batch_size=4096)


def datacomp_medium() -> TrainConfig:
    """DataComp medium: 128 M samples through a ViT-B/32."""
    model = vit_model(patch_size=32, quick_gelu=False)
    return _scale("medium", model, samples_seen=128_000_000, global_batch_size=4096)


def datacomp_large() -> TrainConfig:
    """DataComp large: 1.28 B samples through a ViT-B/16."""
    model = vit_model(patch_size=16, quick_gelu=False)
    return _scale("large", model, samples_seen=1_280_000_000, global_batch_size=8192)


def datacomp_xlarge() -> TrainConfig:
    """DataComp xlarge: 12.8 B samples through a ViT-L/14."""
    return _scale(
        "xlarge",
        ModelConfig(embed_dim=768, vision=large_vision(patch_size=14), text=TEXT_768),
        samples_seen=12_800_000_000,
        global_batch_size=90_112,
        optimizer=OptimizerConfig(lr=1e-3, beta2=0.95, weight_decay=0.2, warmup_steps=10_000),
    )


def _scale(
    name: str,
    model: ModelConfig,
    *,
    samples_seen: int,
    global_batch_size: int,
    optimizer: OptimizerConfig = OPTIMIZER,
) -> TrainConfig:
    return TrainConfig(
        data="out/dataset",
        run=f"out/runs/datacomp-{name}",
        model=model,
        stream=loader(transform="open_clip"),
        optimizer=optimizer,
        global_batch_size=global_batch_size,
        samples_seen=samples_seen,
    )
