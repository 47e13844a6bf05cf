"""What the encoders compute in; weights, loss and optimizer are fp32 whatever it is."""

import dataclasses

import torch

from diagonal_train.config.train import Precision, TrainConfig

HALF_PRECISION = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp8": torch.bfloat16}
"""Under fp8 of what is not in 8 bits."""


def with_precision(config: TrainConfig, device: torch.device) -> TrainConfig:
    """The configuration with `auto` replaced by what suits the device."""
    if config.precision != "auto":
        return config
    return dataclasses.replace(config, precision=_suited(device))


def autocast(precision: Precision, device_type: str) -> torch.autocast:
    """Inside, operations that bear it run in this precision."""
    low = HALF_PRECISION.get(precision)
    return torch.autocast(device_type, low, enabled=low is not None)


def _suited(device: torch.device) -> Precision:
    """Most CPUs take twice as long in bf16 as in fp32; GPUs without bf16 have fp16."""
    if device.type != "cuda":
        return "fp32"
    with torch.cuda.device(device):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
