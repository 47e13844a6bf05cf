"""ResNet-50 on the three public datasets that most people begin with.

Settings are those of open_clip's documentation: 8 GPUs × 128 samples, or the CLIP authors' batch of
2,048 for YFCC15M. Samples seen are passes × the number of samples that could still be had.
"""

from diagonal_train.config.optimizer import OptimizerConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.published.clip import TEXT_512, loader, resnet_model


def cc3m_rn50() -> TrainConfig:
    """ResNet-50 on Conceptual Captions: 30 passes over 2.86 M samples."""
    optimizer = _optimizer(lr=1e-3, warmup_steps=10_000)
    return _run("cc3m", optimizer, global_batch_size=1024, samples_seen=30 * 2_862_387)


def cc12m_rn50() -> TrainConfig:
    """ResNet-50 on Conceptual 12M: 30 passes over 10.1 M samples."""
    optimizer = _optimizer(lr=1e-3, warmup_steps=10_000)
    return _run("cc12m", optimizer, global_batch_size=1024, samples_seen=30 * 10_062_127)


def yfcc15m_rn50() -> TrainConfig:
    """ResNet-50 on the 15 M captioned pictures of YFCC100M that the CLIP authors chose."""
    optimizer = _optimizer(lr=5e-4, warmup_steps=2000)
    return _run("yfcc15m", optimizer, global_batch_size=2048, samples_seen=32 * 14_829_396)


def _optimizer(*, lr: float, warmup_steps: int) -> OptimizerConfig:
    return OptimizerConfig(
        lr=lr, beta2=0.999, eps=1e-8, weight_decay=0.1, warmup_steps=warmup_steps
    )


def _run(
    data: str, optimizer: OptimizerConfig, *, global_batch_size: int, samples_seen: int
) -> TrainConfig:
    model = resnet_model("RN50", embed_dim=1024, image_size=224, text=TEXT_512)
    return TrainConfig(
        data=f"out/{data}",
        run=f"out/runs/{data}-rn50",
        model=model,
        stream=loader(transform="open_clip", lanes=256),
        optimizer=optimizer,
        global_batch_size=global_batch_size,
        samples_seen=samples_seen,
    )
