"""Where a run begins: anew, behind its newest complete checkpoint, or not at all."""

import json
import logging
from dataclasses import dataclass
from typing import Any

from diagonal_infra import run_dir, storage
from diagonal_infra.errors import CheckpointError, UserError
from diagonal_train import checkpoint
from diagonal_train.checkpoint import Checkpoint
from diagonal_train.checkpointing.manifest import has_manifest
from diagonal_train.config.compare import config_digest, differing_fields, fixed_of
from diagonal_train.config.model import ModelConfig, model_config_from
from diagonal_train.config.train import TrainConfig

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Start:
    """`step` optimizer steps are done; `found` holds them, or is None before the first save."""

    step: int
    found: Checkpoint | None


def check_run_folder(run: str) -> None:
    """Find out before the work starts that a run's files can be written; a finished one is let be.

    Raises:
        UserError: it cannot be written to.
    """
    if not storage.exists(summary_path(run)):
        storage.check_writable(run)


def plan_start(config: TrainConfig, data_digest: str) -> Start:
    """Look into the run folder; nothing is written.

    Raises:
        UserError: the folder holds a run that computes something else, or no run.
        CheckpointError: the run has been saved and nothing of that is whole.
    """
    found = checkpoint.latest_complete(config.run)
    if found is None or found.step == 0:
        _check_nothing_is_lost(config.run)
    if found is None:
        return Start(step=0, found=None)
    resolved = run_dir.resolved(config)
    differences = differing_fields(read_config(config.run), resolved)
    if not differences and found.config_digest not in {"", config_digest(resolved)}:
        differences.append("config.json is not what the checkpoint was made with")
    if found.data_digest != data_digest:
        differences.append("the dataset's kept samples are others than before")
    if differences:
        _review(config, differences)
    return Start(step=found.step, found=found if found.step else None)


def _check_nothing_is_lost(run: str) -> None:
    """What has no checkpoint behind step 0 is a new run: it must not take another's place."""
    if damaged := [step for step in checkpoint.steps(run) if step and has_manifest(run, step)]:
        raise CheckpointError(
            f"no checkpoint of run {run!r} is whole, up to that of step {damaged[-1]} (the log "
            "says why): mend the store or use another --run; delete its checkpoints to train anew"
        )
    for name in storage.list_files(storage.join(run, "checkpoints")):
        if not name.startswith(("step-", ".")):
            raise UserError(
                f"{run!r} holds checkpoints of another program ({name}); use another --run"
            )
    if storage.exists(config_path(run)) and "optimizer" not in read_config(run):
        raise UserError(f"{run!r} is the folder of another command; use another --run")


def _review(config: TrainConfig, differences: list[str]) -> None:
    """Let a run go on with other settings if the user says so and its state fits them."""
    said = f"run {config.run!r} was started with other settings: {'; '.join(differences)}"
    if fixed := fixed_of(differences):
        raise UserError(
            f"{said}; its state does not fit {fixed[0].split()[0]}: use the same settings or "
            "another --run"
        )
    if not config.accept_changes:
        raise UserError(
            f"{said}; use the same settings or another --run, or add --accept-changes to go on "
            "with these from now on"
        )
    logger.warning("%s; going on with these, as --accept-changes says", said)


def read_run_config(run: str) -> ModelConfig:
    """The model configuration of a run.

    Raises:
        UserError: there is no run at that path, or other code made it.
    """
    try:
        return model_config_from(read_config(run).get("model", {}))
    except UserError as error:
        raise UserError(f"run {run!r}: {error}") from error


def read_config(run: str) -> dict[str, Any]:
    """A run's configuration as it was written.

    Raises:
        UserError: there is no run at that path.
    """
    path = config_path(run)
    if not storage.exists(path):
        raise UserError(f"no run at {run!r} (no config.json); train one with 'make train'")
    try:
        return json.loads(storage.read_bytes(path))["config"]
    except (ValueError, KeyError) as error:
        raise UserError(f"{path!r} is no record of a run: {error!r}; use another --run") from error


def config_path(run: str) -> str:
    """Where a run keeps what it was asked to do."""
    return storage.join(run, "config.json")


def summary_path(run: str) -> str:
    """Where a finished run keeps its result."""
    return storage.join(run, "summary.json")
