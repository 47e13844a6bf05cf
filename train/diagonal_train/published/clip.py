"""The nine models of the CLIP paper (Radford et al., 2021; tables 18 to 20).

All see 32 passes over 400 M samples in batches of 32,768, but for ViT-L/14@336, which goes on with
ViT-L/14 for one pass more. Activations are QuickGELU, as in OpenAI's weights.
"""

from diagonal_train.config.model import ModelConfig, TextConfig, VisionConfig
from diagonal_train.config.optimizer import OptimizerConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.streaming.config import LoaderConfig

PASS = 400_000_000
"""Samples of the paper's dataset."""
TEXT_512 = TextConfig(width=512, heads=8)
TEXT_768 = TextConfig(width=768, heads=12)


def rn50() -> TrainConfig:
    """CLIP's ResNet-50 (Radford et al., 2021)."""
    return _resnet("RN50", embed_dim=1024, image_size=224, text=TEXT_512, lr=5e-4)


def rn101() -> TrainConfig:
    """CLIP's ResNet-101 (Radford et al., 2021)."""
    return _resnet("RN101", embed_dim=512, image_size=224, text=TEXT_512, lr=5e-4)


def rn50x4() -> TrainConfig:
    """CLIP's ResNet-50x4: four times the compute of ResNet-50."""
    text = TextConfig(width=640, heads=10)
    return _resnet("RN50x4", embed_dim=640, image_size=288, text=text, lr=5e-4)


def rn50x16() -> TrainConfig:
    """CLIP's ResNet-50x16: sixteen times the compute of ResNet-50."""
    return _resnet("RN50x16", embed_dim=768, image_size=384, text=TEXT_768, lr=4e-4)


def rn50x64() -> TrainConfig:
    """CLIP's ResNet-50x64: 18 days on 592 V100 in the paper."""
    text = TextConfig(width=1024, heads=16)
    return _resnet("RN50x64", embed_dim=1024, image_size=448, text=text, lr=3.6e-4)


def vit_b32() -> TrainConfig:
    """The CLIP paper's ViT-B/32: 32 passes over 400 M samples (Radford et al., 2021)."""
    return _vit("vit-b32", vit_model(patch_size=32), lr=5e-4)


def vit_b16() -> TrainConfig:
    """The CLIP paper's ViT-B/16."""
    return _vit("vit-b16", vit_model(patch_size=16), lr=5e-4)


def vit_l14() -> TrainConfig:
    """The CLIP paper's ViT-L/14: 12 days on 256 V100 in the paper."""
    return _vit("vit-l14", _large_model(image_size=224), lr=4e-4)


def vit_l14_336() -> TrainConfig:
    """The CLIP paper's last pass, at 336 pixels; meant to begin with the weights of vit-l14."""
    return _vit("vit-l14-336", _large_model(image_size=336), lr=2e-5, samples_seen=PASS)


def vit_model(*, patch_size: int, quick_gelu: bool = True) -> ModelConfig:
    """A ViT-B with the text encoder of width 512."""
    vision = VisionConfig(patch_size=patch_size)
    return ModelConfig(embed_dim=512, quick_gelu=quick_gelu, vision=vision, text=TEXT_512)


def large_vision(*, patch_size: int) -> VisionConfig:
    """The image encoder of a ViT-L."""
    return VisionConfig(patch_size=patch_size, width=1024, layers=24)


def loader(**changes: object) -> LoaderConfig:
    """Many lanes, so that many ranks and workers divide them; the paper's square crop."""
    settings = {"lanes": 1024, "window": 256, "num_workers": 8, "transform": "square"}
    return LoaderConfig(**(settings | changes))  # pyright: ignore[reportArgumentType]  # by name


def _large_model(*, image_size: int) -> ModelConfig:
    return ModelConfig(
        embed_dim=768,
        image_size=image_size,
        quick_gelu=True,
        vision=large_vision(patch_size=14),
        text=TEXT_768,
    )


def _vit(name: str, model: ModelConfig, *, lr: float, samples_seen: int = 32 * PASS) -> TrainConfig:
    return TrainConfig(
        data="out/dataset",
        run=f"out/runs/{name}",
        model=model,
        stream=loader(),
        optimizer=OptimizerConfig(
            lr=lr, beta1=0.9, beta2=0.98, eps=1e-6, weight_decay=0.2, warmup_steps=2000
        ),
        global_batch_size=32_768,
        samples_seen=samples_seen,
    )


def _resnet(
    name: str, *, embed_dim: int, image_size: int, text: TextConfig, lr: float
) -> TrainConfig:
    return TrainConfig(
        data="out/dataset",
        run=f"out/runs/{name.lower()}",
        model=resnet_model(name, embed_dim=embed_dim, image_size=image_size, text=text),
        stream=loader(),
        optimizer=OptimizerConfig(
            lr=lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.2, warmup_steps=2000
        ),
        global_batch_size=32_768,
        samples_seen=32 * PASS,
    )


def resnet_model(name: str, *, embed_dim: int, image_size: int, text: TextConfig) -> ModelConfig:
    """The paper's ResNet of that name, with QuickGELU in its text encoder."""
    return ModelConfig(
        name=f"{name}-quickgelu",
        quick_gelu=True,
        embed_dim=embed_dim,
        image_size=image_size,
        text=text,
    )
