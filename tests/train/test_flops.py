import pytest
import torch

from diagonal_train.config.model import ModelConfig, TextConfig, VisionConfig
from diagonal_train.flops import count_flops, peak_flops

CONFIG = ModelConfig(
    embed_dim=32,
    image_size=32,
    vision=VisionConfig(patch_size=8, width=64, layers=3, head_width=16),
    text=TextConfig(context_length=12, width=32, heads=2, layers=2),
)


def transformer_flops(tokens: int, width: int, layers: int) -> int:
    """Projections of 12 width² per token and block, and two products of tokens × tokens."""
    return layers * (2 * 12 * tokens * width**2 + 2 * 2 * tokens**2 * width)


def test_flops_are_those_of_the_matrix_products() -> None:
    found = count_flops(CONFIG)
    patches = 16
    stem_and_head = 2 * patches * 64 * 3 * 8 * 8 + 2 * 64 * 32
    assert found.image == transformer_flops(patches + 1, 64, 3) + stem_and_head
    assert found.text == transformer_flops(12, 32, 2) + 2 * 32 * 32
    assert found.of_training(0.5) == 3 * (found.image + found.text / 2)


def test_counting_draws_no_random_number() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    count_flops.__wrapped__(CONFIG)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("name", "fp32", "peak"),
    [
        ("NVIDIA A100-SXM4-80GB", False, 312e12),
        ("NVIDIA H100 80GB HBM3", False, 989e12),
        ("NVIDIA H100 PCIe", False, 756e12),
        ("NVIDIA H200", True, 67e12),
        ("GeForce", False, None),
    ],
)
def test_peaks_are_found_by_the_devices_name(name: str, fp32: bool, peak: float | None) -> None:
    assert peak_flops(name, fp32=fp32) == peak
