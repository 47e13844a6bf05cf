from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train import rank_parallel
from torch import nn

from diagonal_infra.errors import UserError
from diagonal_train.config.parallel import ParallelConfig, ParallelKind
from diagonal_train.distributed import World
from diagonal_train.encoders.models import build_model
from diagonal_train.parallel import blocks_of, build_mesh, clip_grad_norm, keep_apart, wrap


@pytest.fixture
def of_ranks(run_ranks: Callable[..., None], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A function that runs the steps as several ranks."""

    def run(world_size: int, kind: ParallelKind, precision: str = "fp32") -> dict[str, Any]:
        out = str(tmp_path / "out")
        run_ranks([rank_parallel.__file__, out, kind, "2", precision], world_size)
        return torch.load(out, weights_only=True)

    return run


@pytest.mark.parametrize(
    ("world_size", "kind"), [(2, "ddp"), (2, "fsdp"), (3, "fsdp"), (4, "hsdp")]
)
def test_ranks_train_as_one_process(
    of_ranks: Callable[..., dict[str, Any]], world_size: int, kind: ParallelKind
) -> None:
    one = rank_parallel.run_steps(World(), ParallelConfig(), "fp32")
    many = of_ranks(world_size, kind)
    assert many["losses"] == pytest.approx(one["losses"], rel=1e-5)
    assert many["norms"] == pytest.approx(one["norms"], rel=1e-4)
    assert min(one["norms"]) > rank_parallel.LONGEST
    assert many["weights"].keys() == one["weights"].keys()
    for name in ("clip.logit_scale", "clip.visual.proj"):
        torch.testing.assert_close(many["weights"][name], one["weights"][name], atol=1e-4, rtol=0)


def test_sharded_bf16_is_about_the_same(of_ranks: Callable[..., dict[str, Any]]) -> None:
    one = rank_parallel.run_steps(World(), ParallelConfig(), "fp32")
    many = of_ranks(2, "fsdp", "bf16")
    assert many["losses"] == pytest.approx(one["losses"], rel=0.03)
    assert all(value.dtype == torch.float32 for value in many["weights"].values())


def test_one_process_holds_the_plain_model() -> None:
    model = nn.Linear(2, 2)
    assert wrap(model, World(), ParallelConfig(kind="fsdp")) is model


def test_both_encoders_blocks_are_found() -> None:
    assert len(list(blocks_of(build_model(rank_parallel.small_model())))) == 4


@pytest.mark.parametrize(("ranks", "size"), [(6, 4), (4, 4)])
def test_ranks_that_are_no_groups_are_refused(ranks: int, size: int) -> None:
    config = ParallelConfig(kind="hsdp", shard_size=size)
    with pytest.raises(UserError, match=f"{ranks} ranks are not .*--parallel.shard-size {size}"):
        build_mesh(World(world_size=ranks), config)


def test_plain_gradients_are_clipped_as_torch_does() -> None:
    model = nn.Linear(3, 2)
    model(torch.ones(1, 3)).sum().backward()
    norm = clip_grad_norm(model.parameters(), 0.1)
    assert norm > 0.1
    assert clip_grad_norm(model.parameters(), 1.0).item() == pytest.approx(0.1, rel=1e-4)


def test_groups_of_one_kind_stay_as_they_are() -> None:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW([{"params": [model.weight]}, {"params": [model.bias]}])
    keep_apart(optimizer)
    assert [group["params"] for group in optimizer.param_groups] == [[model.weight], [model.bias]]
