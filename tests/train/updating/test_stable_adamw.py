import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.train.updating.rank_sharded import trained

from diagonal_train import checkpoint
from diagonal_train.config.checkpoint import CheckpointConfig
from diagonal_train.config.optimizer import OptimizerConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World
from diagonal_train.encoders.load import load_model
from diagonal_train.loop import train
from diagonal_train.updating.stable_adamw import StableAdamW, debiased

RANK = Path(__file__).parent / "rank_sharded.py"
SETTINGS = {"lr": 0.1, "betas": (0.9, 0.98), "eps": 1e-6}
SHAPES = [(4, 3), (5,), ()]


def parameters() -> list[torch.nn.Parameter]:
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape)) for shape in SHAPES]


def set_gradients(values: list[torch.nn.Parameter], step: int, length: float) -> None:
    for number, value in enumerate(values):
        generator = torch.Generator().manual_seed(10 * step + number)
        value.grad = length * torch.randn(value.shape, generator=generator)


def reference(lengths: list[float], weight_decay: float) -> list[torch.Tensor]:
    """The paper's algorithm 2, a tensor at a time in float64."""
    values = parameters()
    found = [value.detach().double() for value in values]
    means = [(torch.zeros_like(value), torch.zeros_like(value)) for value in found]
    beta1, beta2 = SETTINGS["betas"]
    for step, length in enumerate(lengths, 1):
        set_gradients(values, step, length)
        for number, value in enumerate(values):
            assert value.grad is not None
            u, v = means[number]
            gradient = value.grad.double()
            b1, b2 = debiased(beta1, step), debiased(beta2, step)
            u, v = b1 * u + (1 - b1) * gradient, b2 * v + (1 - b2) * gradient**2
            rms = (gradient**2 / v.clamp(min=1e-12)).mean().sqrt().item()
            rate = SETTINGS["lr"] / max(1, rms)
            change = weight_decay * found[number] + u / (v.sqrt() + SETTINGS["eps"])
            found[number], means[number] = found[number] - rate * change, (u, v)
    return found


def after(optimizer: torch.optim.Optimizer, lengths: list[float]) -> list[torch.Tensor]:
    values = optimizer.param_groups[0]["params"]
    for step, length in enumerate(lengths, 1):
        set_gradients(values, step, length)
        optimizer.step()
    return [value.detach() for value in values]


def test_it_is_the_papers_algorithm() -> None:
    lengths = [1.0, 0.5, 1.0, 100.0, 1.0, 3.0]
    found = after(StableAdamW(parameters(), **SETTINGS, weight_decay=0.2), lengths)
    for value, expected in zip(found, reference(lengths, 0.2), strict=True):
        torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-6)


def test_with_gradients_that_shrink_it_is_adamw() -> None:
    lengths = [1.0, 0.1, 0.01, 0.001]
    found = after(StableAdamW(parameters(), **SETTINGS), lengths)
    expected = after(torch.optim.AdamW(parameters(), **SETTINGS, weight_decay=0), lengths)
    for ours, adamw in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, adamw, rtol=1e-5, atol=1e-6)


def test_a_leap_of_the_gradient_moves_the_weights_less_than_adamw() -> None:
    def moved(optimizer: torch.optim.Optimizer) -> float:
        before = [value.clone() for value in after(optimizer, [1.0] * 10)]
        values = optimizer.param_groups[0]["params"]
        set_gradients(values, 11, 1000.0)
        optimizer.step()
        return math.sqrt(
            sum((v - b).square().sum().item() for v, b in zip(values, before, strict=True))
        )

    stable = moved(StableAdamW(parameters(), **SETTINGS))
    adamw = moved(torch.optim.AdamW(parameters(), **SETTINGS, weight_decay=0))
    assert stable < adamw / 3


@pytest.mark.parametrize("mesh", [("2",), ("2", "2")])
def test_shards_move_as_the_whole(
    run_ranks: Callable[..., None], tmp_path: Path, mesh: tuple[str, ...]
) -> None:
    run_ranks([str(RANK), str(tmp_path / "found.pt"), *mesh], 2 ** len(mesh))
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    expected = trained()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)


def test_a_run_goes_on_to_the_bit(tiny: Callable[..., TrainConfig]) -> None:
    optimizer = OptimizerConfig(
        kind="stable-adamw", warmup_steps=2, lr=2e-3, schedule="cooldown", cooldown_steps=3
    )
    checkpoints = CheckpointConfig(every_steps=3)
    config = tiny(optimizer=optimizer, samples_seen=96, checkpoint=checkpoints)
    train(config, World())
    expected = load_model(config.run).model.state_dict()
    shutil.rmtree(checkpoint.folder(config.run, 6))
    (Path(config.run) / "summary.json").unlink()
    assert train(config, World()).started_at_step == 3
    found = load_model(config.run).model.state_dict()
    assert [name for name in found if not torch.equal(found[name], expected[name])] == []
