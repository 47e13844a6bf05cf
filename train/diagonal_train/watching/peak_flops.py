"""What a device can do at most, so that a run can say which share of it the model uses (MFU).

The share counts the model's FLOPs only: a training step is three forward passes, one and a backward
pass of twice its products. What activation checkpointing or gradient caching compute again, and
padding, is not counted.
"""

import torch

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
