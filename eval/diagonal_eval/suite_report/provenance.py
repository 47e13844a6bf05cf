"""Where results come from: what was measured, and with which code."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from diagonal_train.exporting.records import shown_address

FIELDS = {
    "checkpoint_step": "checkpoint step",
    "encoder_digest": "digest of the encoder",
    "transform": "transform of the pictures",
    "seed": "seed of the intervals",
    "code_revision": "code revision",
}


def model_name(results: Mapping[str, Any]) -> str:
    """The run's or the checkpoint's own name, without the folders before it."""
    checkpoint = shown_address(str(results.get("checkpoint") or ""))
    run = checkpoint.partition("/checkpoints/")[0].rstrip("/")
    return PurePath(run).name or run or "unknown checkpoint"


def provenance(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is recorded, in a fixed order; addresses without user, password and signature.

    `versions` are those that the caller put into the record: library → version.
    """
    rows = [("checkpoint", shown_address(str(results.get("checkpoint") or "unknown")))]
    rows += [(shown, str(results[name])) for name, shown in FIELDS.items() if name in results]
    rows += [(str(name), str(value)) for name, value in (results.get("versions") or {}).items()]
    rows += [
        (f"digest of {name}", str(task.get("set_digest", "unknown")))
        for name, task in results.get("tasks", {}).items()
    ]
    return rows
