"""How much a model computes per sample, and the share of a device's peak that this is.

FLOPs are those of matrix products and convolutions (a multiplication and an addition are two),
counted once on the meta device. A training step is three forward passes: one, and a backward pass
of twice its products. What activation checkpointing or gradient caching compute again is not
counted, and neither is padding: model FLOPs, not the device's.
"""

import functools
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from diagonal_train.config.model import ModelConfig
from diagonal_train.models import build_model

PASSES_OF_A_STEP = 3
PEAKS = {
    "H100 PCIe": (756e12, 51e12),
    "H100 NVL": (835e12, 60e12),
    "H100": (989e12, 67e12),
    "H200 NVL": (835e12, 60e12),
    "H200": (989e12, 67e12),
    "GH200": (989e12, 67e12),
    "A100": (312e12, 19.5e12),
}
"""Dense FLOP/s of a device by part of its name, the first that fits: in 16 bits on tensor cores,
and in fp32; from NVIDIA's data sheets, without sparsity."""


@dataclass(frozen=True, kw_only=True)
class SampleFlops:
    """FLOPs of one forward pass of one sample."""

    image: float
    text: float
    """Of a caption that fills the context."""

    def of_training(self, text_share: float) -> float:
        """FLOPs of a training step per sample, where captions fill such a share of the context."""
        return PASSES_OF_A_STEP * (self.image + self.text * text_share)


@functools.cache
def count_flops(config: ModelConfig) -> SampleFlops:
    """What the model's encoders compute; no weights are made and no random number is drawn."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        # In training mode: the fused attention of evaluation is not counted.
        model = build_model(config).train()
        images_BCHW = torch.empty(1, 3, config.image_size, config.image_size)
        tokens_BT = torch.zeros(1, config.text.context_length, dtype=torch.int64)
        with torch.no_grad():
            with FlopCounterMode(display=False) as image:
                model.encode_image(images_BCHW)
            with FlopCounterMode(display=False) as text:
                model.encode_text(tokens_BT)
    return SampleFlops(image=image.get_total_flops(), text=text.get_total_flops())


def peak_flops(device_name: str, *, fp32: bool) -> float | None:
    """A device's dense FLOP/s in the precision of the encoders; None if it is not known."""
    found = next((peak for name, peak in PEAKS.items() if name in device_name), None)
    if found is None:
        return None
    halves, full = found
    if not fp32:
        return halves
    # TF32 runs at half the speed of 16 bits.
    return full if torch.get_float32_matmul_precision() == "highest" else halves / 2
