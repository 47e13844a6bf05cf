from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.train.rank_gradients import Noisy, gradients, seed_of, spans, whole_batch

from diagonal_train.distributed import World
from diagonal_train.gradient_cache import backward
from diagonal_train.loss import Kind, dense_contrastive_loss
from diagonal_train.watching.stage_clock import StageClock

SCRIPT = str(Path(__file__).parent / "rank_gradients.py")


def whole_at_once(kind: Kind, micro: int, world_size: int) -> dict[str, torch.Tensor]:
    """Dense loss and gradients of one graph over all samples, with the same dropout."""
    model, (images, tokens) = Noisy(kind), whole_batch()
    outputs = []
    for rank in range(world_size):
        for span in spans(micro, rank, world_size):
            torch.manual_seed(seed_of(span))
            outputs.append(model(images[span], tokens[span]))
    image_BD, text_BD = (torch.cat([output[i] for output in outputs]) for i in range(2))
    loss = dense_contrastive_loss(image_BD, text_BD, *outputs[0][2:], kind=kind)
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert "encoders.clip.logit_scale" in gradients
    assert ("encoders.clip.logit_bias" in gradients) == (kind == "sigmoid")
    return {"loss": loss.detach(), **gradients}


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """To 1e-10."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "micro", "world_size", "wrap"),
    [
        ("softmax", 6, 2, "ddp"),
        ("softmax", 4, 2, "ddp"),
        ("sigmoid", 2, 2, "ddp"),
        ("softmax", 4, 2, "fsdp"),
    ],
)
def test_parts_on_ranks_give_loss_and_every_gradient_of_the_whole_batch(
    run_ranks: Callable[..., None],
    tmp_path: Path,
    kind: Kind,
    micro: int,
    world_size: int,
    wrap: str,
) -> None:
    run_ranks([SCRIPT, str(tmp_path / "ranks.pt"), kind, str(micro), wrap], world_size)
    ranks = torch.load(tmp_path / "ranks.pt", weights_only=True)
    assert_same(ranks, whole_at_once(kind, micro, world_size))


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
@pytest.mark.parametrize("micro", [12, 6, 3, 5])
def test_any_number_of_parts_gives_loss_and_every_gradient_of_the_whole_batch(
    kind: Kind, micro: int
) -> None:
    assert_same(gradients(World(), kind, micro, "ddp"), whole_at_once(kind, micro, 1))


def test_a_part_embedded_otherwise_the_second_time_is_another_gradient() -> None:
    """What the random state set anew is for."""
    model, (images, tokens) = Noisy("softmax"), whole_batch()
    parts = spans(6, 0, 1)

    def embed(part: int) -> tuple[torch.Tensor, ...]:
        return model(images[parts[part]], tokens[parts[part]])

    torch.manual_seed(0)
    backward(embed, 2, dense_contrastive_loss, model, StageClock())
    expected = whole_at_once("softmax", 6, 1)
    gradient = model.encoders.clip.visual.proj.grad
    assert not torch.allclose(gradient, expected["encoders.clip.visual.proj"], rtol=1e-3)
