"""Checkpoints that are complete or not there: what the rest of the code calls.

    Saver(…).save(state, …)    while a run goes on (checkpointing/saver.py)
    save(…)                    at once
    latest_complete, find      the newest verified one
    load, load_weights         put in place, on any number of ranks and however spread

A checkpoint whose files do not match its manifest is passed over. Step 0 holds the initial weights
only: an optimizer has no state before its first step. Runs are on local paths or any fsspec URL.
"""

import logging

from torch import nn

from diagonal_infra.errors import CheckpointError, UserError
from diagonal_train.checkpointing.manifest import Checkpoint, delete, folder, read, steps
from diagonal_train.checkpointing.saver import Saver, prune
from diagonal_train.checkpointing.tensors import load_model_weights, load_state
from diagonal_train.config.checkpoint import CheckpointConfig
from diagonal_train.distributed import World
from diagonal_train.state import TrainState

__all__ = [
    "Checkpoint",
    "Saver",
    "delete_after",
    "find",
    "folder",
    "latest_complete",
    "load",
    "load_weights",
    "prune",
    "read",
    "save",
    "steps",
]

logger = logging.getLogger(__name__)


def save(
    run: str,
    world: World,
    *,
    state: TrainState,
    step: int,
    samples_seen: int,
    data_digest: str,
) -> None:
    """Write the checkpoint of `step`; every rank calls it. It appears whole or not at all.

    Raises:
        CheckpointError: it could not be written.
    """
    config = CheckpointConfig(asynchronous=False)
    with Saver(run, world, config, data_digest=data_digest) as saver:
        saver.save(state, step=step, samples_seen=samples_seen)


def load(found: Checkpoint, state: TrainState) -> None:
    """Put a checkpoint's whole state in place, on any number of ranks."""
    load_state(found.path, state)
    state.meters.update(found.meters)


def load_weights(found: Checkpoint, model: nn.Module, *, averaged: bool = False) -> None:
    """Put a checkpoint's weights in place, or their average."""
    load_model_weights(found.path, model, part="averaged" if averaged else "model")


def latest_complete(run: str) -> Checkpoint | None:
    """The newest checkpoint whose files are all there and unharmed.

    Raises:
        UserError: newer code wrote it.
    """
    for step in reversed(steps(run)):
        try:
            return read(run, step)
        except CheckpointError as error:
            logger.warning("passing over a checkpoint: %s", error)
    return None


def find(run: str, step: int | None) -> Checkpoint:
    """The complete checkpoint of `step`, or the newest.

    Raises:
        UserError: there is none.
        CheckpointError: that of `step` is damaged.
    """
    if step is not None and step in steps(run):
        return read(run, step)
    found = latest_complete(run) if step is None else None
    if found is None:
        what = "no complete checkpoint" if step is None else f"no checkpoint of step {step}"
        raise UserError(f"{what} in run {run!r}, which has steps {steps(run)}; run 'make train'")
    return found


def delete_after(run: str, step: int) -> None:
    """Forget what was saved behind `step`."""
    for later in [s for s in steps(run) if s > step]:
        delete(run, later)
