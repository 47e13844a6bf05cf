import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from open_clip.loss import ClipLoss, SigLipLoss
from tests.train.rank_loss import Encoders, teacher_of_all, whole_batch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from diagonal_train.loss import (
    Kind,
    Teacher,
    contrastive_loss,
    dense_contrastive_loss,
    dense_distilled_loss,
    distilled_loss,
)

SCRIPT = str(Path(__file__).parent / "rank_loss.py")
KINDS: list[Kind] = ["softmax", "sigmoid"]
RunRanks = Callable[..., None]
Loss = Callable[..., Tensor]


def features(
    count: int, width: int, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images, texts, a scale and a bias, all of them asking for gradients."""
    rng = torch.Generator().manual_seed(0)
    image, text = (
        torch.nn.functional.normalize(torch.randn(count, width, dtype=dtype, generator=rng), dim=-1)
        for _ in range(2)
    )
    scale, bias = torch.tensor(13.0, dtype=dtype), torch.tensor(-4.0, dtype=dtype)
    return tuple(part.requires_grad_() for part in (image, text, scale, bias))  # pyright: ignore[reportReturnType]


def with_gradients(loss: Tensor, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    return [loss, *torch.autograd.grad(loss, inputs)]


@pytest.mark.parametrize(
    "splits", [["24"], ["12,12", "7,17"], ["8,8,8", "1,9,14"], ["6,6,6,6", "1,9,2,12"]], ids=str
)
def test_ranks_give_every_loss_and_every_gradient_of_the_whole_batch(
    run_ranks: RunRanks, tmp_path: Path, splits: list[str]
) -> None:
    out, world_size = tmp_path / "ranks.pt", splits[0].count(",") + 1
    cases = [f"{kind}:{sizes}" for kind in (*KINDS, "distilled") for sizes in splits]
    run_ranks([SCRIPT, str(out), *cases], world_size)
    ranks = torch.load(out, weights_only=True)
    assert ranks.keys() == set(cases)
    for case, found in ranks.items():
        expected = of_the_whole_batch(case.partition(":")[0])
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12, msg=case)


def of_the_whole_batch(kind: str) -> dict[str, Tensor | None]:
    """The dense loss in one process, and its gradients."""
    encoders = Encoders()
    image_BD, text_BD, scale, bias = encoders(*whole_batch())
    if kind == "distilled":
        losses = dense_distilled_loss(image_BD, text_BD, scale, teacher_of_all())
        loss, shown = losses.whole, torch.stack(losses)
    else:
        loss = dense_contrastive_loss(image_BD, text_BD, scale, bias, kind=cast(Kind, kind))
        shown = loss
    loss.backward()
    if kind != "sigmoid":
        encoders.logit_bias.grad = torch.zeros((), dtype=torch.float64)
    return {"loss": shown.detach(), **{name: p.grad for name, p in encoders.named_parameters()}}


def teacher_for(count: int, weight: float, dtype: torch.dtype = torch.float64) -> Teacher:
    image_BE, text_BE = (part.detach() for part in features(count, 6, dtype)[:2])
    return Teacher(image_BE=image_BE, text_BE=text_BE, logit_scale=20.0, weight=weight)


@pytest.mark.parametrize("weight", [0.25, 1.0])
@pytest.mark.parametrize("tile", [1, 4, 100])
def test_tiles_change_nothing_about_the_distilled_loss(tile: int, weight: float) -> None:
    inputs, teacher = features(9, 4)[:3], teacher_for(9, weight)
    ours = distilled_loss(*inputs, teacher, tile=tile)
    dense = dense_distilled_loss(*inputs, teacher)
    for left, right in zip(ours, dense, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-12)
    left, right = (3 * found.whole for found in (ours, dense))
    for own, other in zip(with_gradients(left, inputs), with_gradients(right, inputs), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-10, atol=1e-12)


def test_a_model_that_agrees_with_its_teacher_is_not_moved() -> None:
    image, text, scale = features(9, 4)[:3]
    same = Teacher(image_BE=image.detach(), text_BE=text.detach(), logit_scale=13.0, weight=1.0)
    found = with_gradients(distilled_loss(image, text, scale, same).whole, (image, text, scale))
    for value in found:
        torch.testing.assert_close(value, torch.zeros_like(value), rtol=0, atol=1e-12)


def test_a_teacher_of_no_weight_changes_no_bit() -> None:
    inputs = features(9, 4, torch.float32)[:3]
    plain = with_gradients(contrastive_loss(*inputs, tile=4), inputs)
    teacher = teacher_for(9, 0.0, torch.float32)
    idle = with_gradients(distilled_loss(*inputs, teacher, tile=4).whole, inputs)
    assert all(torch.equal(left, right) for left, right in zip(plain, idle, strict=True))


def test_a_sure_teacher_in_float32_gives_the_exact_loss() -> None:
    """With scale 1e4 no common shift serves all rows of the teacher's matrix."""
    wide, sure = features(12, 3)[:3], teacher_for(12, 0.5)
    teacher = dataclasses.replace(sure, logit_scale=1e4)
    narrow = tuple(part.detach().float().requires_grad_() for part in wide)
    ours = distilled_loss(narrow[0], narrow[1], narrow[2], teacher, tile=5)
    dense = dense_distilled_loss(*wide, teacher)
    for left, right in zip(ours, dense, strict=True):
        assert left.item() == pytest.approx(right.item(), rel=1e-3)


def test_a_rank_without_samples_is_refused_on_all_ranks(
    run_ranks: RunRanks, tmp_path: Path
) -> None:
    run_ranks([SCRIPT, str(tmp_path / "ranks.pt"), "softmax:24,0"], 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tile", [1, 3, 8, 9, 100])
def test_tiles_change_nothing(kind: Kind, tile: int) -> None:
    inputs = features(9, 4)
    used = inputs if kind == "sigmoid" else inputs[:3]
    ours = with_gradients(contrastive_loss(*inputs, kind=kind, tile=tile), used)
    dense = with_gradients(dense_contrastive_loss(*inputs, kind=kind), used)
    for left, right in zip(ours, dense, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-12)


def test_softmax_is_open_clips() -> None:
    inputs = features(9, 4)[:3]
    ours = with_gradients(contrastive_loss(*inputs, tile=4), inputs)
    theirs = with_gradients(ClipLoss()(*inputs), inputs)
    for left, right in zip(ours, theirs, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-12)


def test_sigmoid_is_open_clips() -> None:
    inputs = features(9, 4)
    ours = with_gradients(contrastive_loss(*inputs, kind="sigmoid", tile=4), inputs)
    theirs = with_gradients(SigLipLoss()(*inputs), inputs)
    for left, right in zip(ours, theirs, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_scaled_by_what_comes_behind(kind: Kind) -> None:
    inputs = features(6, 4)
    once = torch.autograd.grad(contrastive_loss(*inputs, kind=kind), inputs[:3])
    thrice = torch.autograd.grad(3 * contrastive_loss(*inputs, kind=kind), inputs[:3])
    for left, right in zip(once, thrice, strict=True):
        torch.testing.assert_close(3 * left, right)


@pytest.mark.parametrize("scale", [1.0, 100.0, 1e4])
def test_logits_however_far_apart_give_the_exact_loss(scale: float) -> None:
    """Two opposite bundles: with scale 1e4 no common shift serves all rows."""
    exact = [part.detach() for part in features(12, 3)[:2]]
    exact[0][6:] *= -1
    inputs = [part.float().requires_grad_() for part in exact]
    wide = [part.clone().requires_grad_() for part in exact]
    ours = contrastive_loss(inputs[0], inputs[1], torch.tensor(scale), tile=5)
    dense = dense_contrastive_loss(wide[0], wide[1], torch.tensor(scale, dtype=torch.float64))
    assert ours.item() == pytest.approx(dense.item(), rel=1e-5)
    ours_of, dense_of = torch.autograd.grad(ours, inputs), torch.autograd.grad(dense, wide)
    for left, right in zip(ours_of, dense_of, strict=True):
        torch.testing.assert_close(left.double(), right, rtol=1e-3, atol=1e-4 * scale)


def test_features_that_say_nothing_cost_the_log_of_the_batch() -> None:
    same = torch.ones(8, 4) / 2
    loss = contrastive_loss(same, same, torch.tensor(10.0))
    assert loss.item() == pytest.approx(math.log(8), rel=1e-6)


def test_a_batch_of_one_costs_nothing() -> None:
    one = torch.ones(1, 4) / 2
    assert contrastive_loss(one, one, torch.tensor(10.0)).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_float32_whatever_autocast_says(kind: Kind) -> None:
    same = torch.nn.functional.normalize(torch.randn(6, 4), dim=-1)
    exact = contrastive_loss(same, same, torch.tensor(50.0), kind=kind)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = contrastive_loss(same, same, torch.tensor(50.0), kind=kind)
    assert torch.equal(exact, mixed)


@pytest.mark.parametrize("kind", KINDS)
def test_a_feature_that_is_no_number_makes_the_loss_none(kind: Kind) -> None:
    image, text = torch.ones(3, 4), torch.ones(3, 4)
    image[1, 2] = math.nan
    assert math.isnan(contrastive_loss(image, text, torch.tensor(1.0), kind=kind).item())


@pytest.mark.parametrize("kind", [*KINDS, "distilled"])
def test_memory_does_not_grow_with_the_square_of_the_batch(kind: Any) -> None:
    """No tensor that autograd keeps, and none that is made, is larger than features or a tile."""
    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            nonlocal largest
            out = function(*args, **(kwargs or {}))
            for part in out if isinstance(out, tuple) else (out,):
                if isinstance(part, Tensor):
                    largest = max(largest, part.untyped_storage().nbytes())
            return out

    inputs, teacher = features(512, 8, torch.float32)[:3], teacher_for(512, 0.5, torch.float32)
    with Watch():
        if kind == "distilled":
            distilled_loss(*inputs, teacher, tile=32).whole.backward()
        else:
            contrastive_loss(*inputs, kind=kind, tile=32).backward()
    assert largest <= 512 * 8 * 4
