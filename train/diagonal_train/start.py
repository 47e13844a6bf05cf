"""Where a run begins: anew, behind its newest complete checkpoint, or not at all."""

import json
from dataclasses import dataclass
from typing import Any

from diagonal_infra import run_dir, storage
from diagonal_infra.errors import UserError
from diagonal_train import checkpoint
from diagonal_train.checkpoint import Checkpoint
from diagonal_train.config.compare import config_digest, differing_fields
from diagonal_train.config.model import ModelConfig, model_config_from
from diagonal_train.config.train import TrainConfig


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
        UserError: the folder holds a run that computes something else.
    """
    found = checkpoint.latest_complete(config.run)
    if found is None:
        return Start(step=0, found=None)
    differences = differing_fields(read_config(config.run), run_dir.resolved(config))
    if not differences and found.config_digest not in {"", config_digest(run_dir.resolved(config))}:
        differences.append("config.json is not what the checkpoint was made with")
    if found.data_digest != data_digest:
        differences.append("the dataset's kept samples are others than before")
    if differences:
        raise UserError(
            f"run {config.run!r} was started with other settings: {'; '.join(differences)}; "
            "use the same settings or another --run"
        )
    return Start(step=found.step, found=found if found.step else None)


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
    path = storage.join(run, "config.json")
    if not storage.exists(path):
        raise UserError(f"no run at {run!r} (no config.json); train one with 'make train'")
    try:
        return json.loads(storage.read_bytes(path))["config"]
    except (ValueError, KeyError) as error:
        raise UserError(f"{path!r} is no record of a run: {error!r}; train again") from error


def summary_path(run: str) -> str:
    """Where a finished run keeps its result."""
    return storage.join(run, "summary.json")
