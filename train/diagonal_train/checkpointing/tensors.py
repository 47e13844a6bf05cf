"""A TrainState as tensors for torch.distributed.checkpoint, and back.

    model.NAME                   weights and running statistics
    optimizer.state.NAME.KIND    the optimizer's, by parameter; its settings come from the config
    averaged.NAME                the moving average of the weights, if there is one

Names do not depend on how the model is spread, so what one layout saves any other reads.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint import state_dict_loader
from torch.distributed.checkpoint._fsspec_filesystem import FsspecReader
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_state_dict,
    set_model_state_dict,
    set_state_dict,
)

from diagonal_infra import storage
from diagonal_train.state import TrainState


def state_tensors(state: TrainState, step: int) -> dict[str, Any]:
    """The tensors of a state, shared with it; of step 0 the initial weights only."""
    if step == 0:
        # get_state_dict steps an optimizer without state, and so shifts its bias correction.
        return {"model": get_model_state_dict(state.model)}
    model_state, optimizer_state = get_state_dict(state.model, state.optimizer)
    tensors = {"model": model_state, "optimizer": {"state": optimizer_state["state"]}}
    return tensors if state.averaged is None else {**tensors, "averaged": state.averaged}


@torch.no_grad()
def staged(value: Any) -> Any:
    """A copy in the CPU's memory, which the next step does not change."""
    if isinstance(value, torch.Tensor):
        return value.to("cpu", copy=True)
    if isinstance(value, dict):
        return {name: staged(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(staged(part) for part in value)
    return value


def load_state(path: str, state: TrainState) -> None:
    """Put all tensors of a checkpoint in place, however they are spread now."""
    tensors = state_tensors(state, step=1)
    groups = get_state_dict(state.model, state.optimizer)[1]["param_groups"]
    with single_process_is_fine():
        state_dict_loader.load(tensors, storage_reader=_reader(path))
    set_state_dict(
        state.model,
        state.optimizer,
        model_state_dict=tensors["model"],
        optim_state_dict={**tensors["optimizer"], "param_groups": groups},
    )


def load_model_weights(path: str, model: nn.Module, *, part: str) -> None:
    """Put the weights kept under `model` or `averaged` in place, in this process alone."""
    tensors = {part: get_model_state_dict(model)}
    with single_process_is_fine():
        state_dict_loader.load(tensors, storage_reader=_reader(path), no_dist=True)
    set_model_state_dict(model, tensors[part])


def _reader(path: str) -> FileSystemReader:
    local = storage.local_path(path)
    return FsspecReader(path) if local is None else FileSystemReader(local)


@contextmanager
def single_process_is_fine() -> Iterator[None]:
    """Without a process group torch warns that it assumes one process, which is right here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is ")
        yield
