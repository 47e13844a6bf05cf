from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tests.train.checkpointing import rank_reshard

from diagonal_train import checkpoint
from diagonal_train.checkpointing.tensors import state_tensors
from diagonal_train.distributed import World
from diagonal_train.state import TrainState


def flat(tensors: dict[str, Any], prefix: str = "") -> dict[str, torch.Tensor]:
    """Every tensor by its path."""
    found: dict[str, torch.Tensor] = {}
    for name, value in tensors.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}/")
        else:
            found[prefix + name] = value
    return found


def loaded(run: str) -> TrainState:
    state = rank_reshard.build_state(World(), "ddp", seed=2)
    checkpoint.load(checkpoint.find(run, None), state)
    return state


def test_world_4_to_2_to_3_to_1_and_ddp_to_fsdp_are_the_same_bits(
    run_ranks: Callable[..., None], tmp_path: Path
) -> None:
    runs = [str(tmp_path / str(number)) for number in range(4)]
    kinds = [(4, "hsdp"), (2, "ddp"), (3, "fsdp")]
    for source, target, (ranks, kind) in zip(["", *runs], runs, kinds, strict=False):
        run_ranks([rank_reshard.__file__, source, target, kind], ranks)
    first, last = loaded(runs[0]), loaded(runs[2])
    expected, found = (flat(state_tensors(state, 2)) for state in (first, last))
    assert expected.keys() == found.keys()
    assert {name.split("/")[0] for name in found} == {"model", "optimizer", "averaged"}
    assert all(torch.equal(expected[name], value) for name, value in found.items())
    assert last.meters == {"seed": 0}
    # What came through is what one process would have made.
    made = flat(state_tensors(rank_reshard.build_state(World(), "ddp", seed=0), 2))
    assert all(torch.equal(made[name], value) for name, value in found.items())
