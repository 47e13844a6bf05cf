import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from open_clip.loss import ClipLoss

from diagonal_train.loss import softmax_contrastive_loss

SCRIPT = str(Path(__file__).parent / "two_rank_loss.py")
RunRanks = Callable[..., None]


@pytest.fixture(scope="module")
def one_process(
    run_ranks: RunRanks, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, torch.Tensor]:
    """Loss and gradients of one process that holds the whole batch."""
    out = tmp_path_factory.mktemp("loss") / "one.pt"
    run_ranks([SCRIPT, str(out)], 1)
    return torch.load(out, weights_only=True)


@pytest.mark.parametrize("world_size", [2])
def test_ranks_give_the_loss_and_every_gradient_of_one_process(
    one_process: dict[str, torch.Tensor], run_ranks: RunRanks, tmp_path: Path, world_size: int
) -> None:
    out = tmp_path / "ranks.pt"
    run_ranks([SCRIPT, str(out)], world_size)
    ranks = torch.load(out, weights_only=True)
    assert ranks.keys() == one_process.keys() >= {"loss", "logit_scale", "image.weight"}
    for name, value in one_process.items():
        torch.testing.assert_close(ranks[name], value, rtol=1e-10, atol=1e-12)


def test_loss_and_gradients_are_open_clips() -> None:
    rng = torch.Generator().manual_seed(0)
    results = []
    for loss_of in (softmax_contrastive_loss, ClipLoss()):
        rng.manual_seed(0)
        image, text = (
            torch.nn.functional.normalize(
                torch.randn(9, 4, dtype=torch.float64, generator=rng), dim=-1
            ).requires_grad_()
            for _ in range(2)
        )
        scale = torch.tensor(13.0, dtype=torch.float64, requires_grad=True)
        loss = loss_of(image, text, scale)
        results.append((loss, *torch.autograd.grad(loss, (image, text, scale))))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_features_that_say_nothing_cost_the_log_of_the_batch() -> None:
    same = torch.ones(8, 4) / 2
    loss = softmax_contrastive_loss(same, same, torch.tensor(10.0))
    assert loss.item() == pytest.approx(math.log(8), rel=1e-6)


def test_logits_are_float32_whatever_autocast_says() -> None:
    features = torch.nn.functional.normalize(torch.randn(6, 4), dim=-1)
    exact = softmax_contrastive_loss(features, features, torch.tensor(50.0))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = softmax_contrastive_loss(features, features, torch.tensor(50.0))
    assert torch.equal(exact, mixed)
