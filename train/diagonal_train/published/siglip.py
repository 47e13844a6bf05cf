"""SigLIP: the sigmoid loss, which compares each pair on its own (Zhai et al., 2023)."""

from diagonal_train.config.model import ModelConfig, TextConfig
from diagonal_train.config.optimizer import OptimizerConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.published.clip import loader

HALF = (0.5, 0.5, 0.5)


def siglip_b16_224() -> TrainConfig:
    """SigLIP's ViT-B/16 with its own tokenizer, which comes from the Hugging Face hub."""
    return TrainConfig(
        data="out/dataset",
        run="out/runs/siglip-b16-224",
        model=ModelConfig(
            name="ViT-B-16-SigLIP",
            embed_dim=768,
            # The logit scale begins at ln 10; the sigmoid loss's bias begins at -10.
            initial_temperature=0.1,
            mean=HALF,
            std=HALF,
            text=TextConfig(context_length=64, width=768, heads=12),
        ),
        stream=loader(),
        optimizer=OptimizerConfig(lr=1e-3, beta2=0.95, weight_decay=1e-4, warmup_steps=2000),
        global_batch_size=32_768,
        samples_seen=12_800_000_000,
        loss="sigmoid",
    )
