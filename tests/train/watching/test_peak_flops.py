import pytest

from diagonal_train.watching.peak_flops import peak_flops


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
