"""Checkpoints that are complete or not there.

    RUN/checkpoints/step-00001000/*.distcp, .metadata    torch.distributed.checkpoint
    RUN/checkpoints/step-00001000/manifest.json          sizes and hashes of the others

All ranks write into a folder set aside; rank 0 adds the manifest and renames it. A kill leaves the
folder aside, which the next save clears; a checkpoint whose files do not match its manifest is
passed over. Step 0 holds the initial weights only: an optimizer has no state before its first step.
"""

import hashlib
import json
import logging
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_state_dict,
    set_model_state_dict,
    set_state_dict,
)

from diagonal_infra.errors import CheckpointError, UserError
from diagonal_infra.run_dir import to_json
from diagonal_infra.storage import PARTIAL_MARK, sync_folder
from diagonal_train.distributed import World, barrier
from diagonal_train.state import TrainState

SCHEMA_VERSION = 1
HASH_CHUNK_BYTES = 2**20
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A complete checkpoint, as its manifest describes it."""

    path: str
    step: int
    samples_seen: int
    data_digest: str
    meters: dict[str, Any]


def save(
    run: str,
    world: World,
    *,
    state: TrainState,
    step: int,
    samples_seen: int,
    data_digest: str,
) -> None:
    """Write the checkpoint of `step`; every rank calls it. It appears whole or not at all."""
    final = folder(run, step)
    aside = final.with_name(f"{final.name}{PARTIAL_MARK}0")
    if world.is_main:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
    barrier()
    with _single_process_is_fine():
        state_dict_saver.save(_tensors(state, step), checkpoint_id=aside)
    barrier()
    if world.is_main:
        record = {
            "schema_version": SCHEMA_VERSION,
            "step": step,
            "samples_seen": samples_seen,
            "data_digest": data_digest,
            "meters": state.meters,
            "files": {path.name: _describe(path) for path in sorted(aside.iterdir())},
        }
        _write_durably(aside / "manifest.json", to_json(record))
        sync_folder(aside)
        shutil.rmtree(final, ignore_errors=True)
        aside.rename(final)
        sync_folder(final.parent)
        logger.info("saved checkpoint step=%d path=%s", step, final)
    barrier()


def load(found: Checkpoint, state: TrainState) -> None:
    """Put a checkpoint's weights and optimizer state in place, on any number of ranks."""
    tensors = _tensors(state, found.step)
    with _single_process_is_fine():
        state_dict_loader.load(tensors, checkpoint_id=found.path)
    set_state_dict(
        state.model,
        state.optimizer,
        model_state_dict=tensors["model"],
        optim_state_dict=tensors["optimizer"],
    )
    state.meters.update(found.meters)


def load_weights(found: Checkpoint, model: nn.Module) -> None:
    """Put a checkpoint's weights in place."""
    state = {"model": get_model_state_dict(model)}
    with _single_process_is_fine():
        state_dict_loader.load(state, checkpoint_id=found.path, no_dist=True)
    set_model_state_dict(model, state["model"])


def latest_complete(run: str) -> Checkpoint | None:
    """The newest checkpoint whose files are all there and unharmed."""
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


def read(run: str, step: int) -> Checkpoint:
    """Check every file of a checkpoint against its manifest.

    Raises:
        CheckpointError: a file is missing, short or altered.
    """
    path = folder(run, step)
    try:
        record = json.loads((path / "manifest.json").read_bytes())
        for name, expected in record["files"].items():
            if _describe(path / name) != expected:
                raise CheckpointError(f"{path / name} is not what manifest.json says")
        return Checkpoint(
            path=str(path),
            step=record["step"],
            samples_seen=record["samples_seen"],
            data_digest=record["data_digest"],
            meters=record.get("meters", {}),
        )
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} is incomplete: {error}") from error


def steps(run: str) -> list[int]:
    """Steps that have a checkpoint folder, complete or not, in order."""
    parent = folder(run, 0).parent
    if not parent.is_dir():
        return []
    names = (path.name.removeprefix("step-") for path in parent.glob("step-*"))
    return sorted(int(name) for name in names if name.isdigit())


def prune(run: str, keep: int, *, saved: int) -> None:
    """Leave the newest `keep` complete checkpoints up to step `saved`, and that of step 0.

    Damaged ones do not count. Those behind `saved` are deleted too: the run goes on from before
    them, and they would be looked at first.
    """
    for step in [s for s in steps(run) if s > saved and not _is_complete(run, s)]:
        logger.warning("deleting a damaged checkpoint path=%s", folder(run, step))
        shutil.rmtree(folder(run, step))
    kept = 0
    for step in reversed([s for s in steps(run) if 0 < s <= saved]):
        if kept == keep:
            shutil.rmtree(folder(run, step))
        elif step == saved or _is_complete(run, step):
            kept += 1


def delete_after(run: str, step: int) -> None:
    """Forget what was saved behind `step`."""
    for later in [s for s in steps(run) if s > step]:
        shutil.rmtree(folder(run, later))


def folder(run: str, step: int) -> Path:
    """Where the checkpoint of a step is kept."""
    return Path(run) / "checkpoints" / f"step-{step:08d}"


def _tensors(state: TrainState, step: int) -> dict[str, Any]:
    if step == 0:
        # get_state_dict steps an optimizer without state, and so shifts its bias correction.
        return {"model": get_model_state_dict(state.model)}
    model_state, optimizer_state = get_state_dict(state.model, state.optimizer)
    return {"model": model_state, "optimizer": optimizer_state}


def _is_complete(run: str, step: int) -> bool:
    try:
        read(run, step)
    except CheckpointError:
        return False
    return True


def _describe(path: Path) -> dict[str, Any]:
    content = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(HASH_CHUNK_BYTES):
            content.update(chunk)
    return {"bytes": path.stat().st_size, "sha256": content.hexdigest()}


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _single_process_is_fine() -> Iterator[None]:
    """Without a process group torch warns that it assumes one process, which is right here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is ")
        yield
