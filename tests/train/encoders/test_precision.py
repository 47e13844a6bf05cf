import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from diagonal_train.config.train import Precision, TrainConfig
from diagonal_train.distributed import World
from diagonal_train.encoders.precision import autocast, with_precision
from diagonal_train.loop import train

Build = Callable[..., TrainConfig]


def test_a_run_on_a_cpu_records_fp32(tiny: Build) -> None:
    config = tiny(precision="auto", samples_seen=16)
    train(config, World())
    written = json.loads((Path(config.run) / "config.json").read_text())
    assert written["config"]["precision"] == "fp32"


def test_what_is_asked_for_stays(tiny: Build) -> None:
    config = tiny(precision="bf16")
    assert with_precision(config, torch.device("cpu")) is config


@pytest.mark.gpu
def test_a_gpu_has_half_precision(tiny: Build) -> None:
    found = with_precision(tiny(precision="auto"), torch.device("cuda", 0)).precision
    assert found == ("bf16" if torch.cuda.get_device_capability()[0] >= 8 else "fp16")


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("fp32", torch.float32),
        ("bf16", torch.bfloat16),
        ("fp16", torch.float16),
        ("fp8", torch.bfloat16),
    ],
)
def test_products_are_in_the_precision(precision: Precision, dtype: torch.dtype) -> None:
    with autocast(precision, "cpu"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
