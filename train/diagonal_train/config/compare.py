"""What a run that goes on may change in its configuration, and what not."""

import dataclasses
import hashlib
import json
from typing import Any

from diagonal_train.config.logging import LoggingConfig
from diagonal_train.config.probe import ProbeConfig
from diagonal_train.streaming.config import READING_FIELDS

# Where and how fast a run goes, not what it computes: these may differ when it goes on.
FREE_FIELDS = {
    "data",
    "run",
    "launcher",
    "workers",
    "checkpoint.every_steps",
    "checkpoint.keep",
    "log_every_steps",
    "checkpoint.every_seconds",
    "checkpoint.asynchronous",
    "checkpoint.retry_seconds",
    "parallel.kind",
    "parallel.shard_size",
    "micro_batch_size",
    "loss_tile",
    "activation_checkpointing",
    "compile",
    "trim_text",
    "workers_min",
    "worker_failures",
    "recovery.max_skips",
    "recovery.max_rollbacks",
    "recovery.hang_seconds",
    "recovery.data_wait_seconds",
    "accept_changes",
    "dry_run",
} | {f"stream.{name}" for name in READING_FIELDS}
FREE_FIELDS |= {f"logging.{field.name}" for field in dataclasses.fields(LoggingConfig)}
FREE_FIELDS |= {f"probe.{field.name}" for field in dataclasses.fields(ProbeConfig)}

# The saved state has the shape that these give it, and its number counts batches of one size.
FIXED_FIELDS = ("model.", "lock.", "loss ", "global-batch-size ", "optimizer.kind ", "ema-decay ")


def fixed_of(differences: list[str]) -> list[str]:
    """Of what `differing_fields` gives, that which no run can change."""
    starts = tuple(f"--{name}" for name in FIXED_FIELDS)
    return [difference for difference in differences if difference.startswith(starts)]


def differing_fields(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Flags whose values would change what a run computes, as `--seed was 0, is 1`."""
    old, new = flatten(before), flatten(now)
    return [
        f"--{name.replace('_', '-')} was {old.get(name)!r}, is {new.get(name)!r}"
        for name in sorted(old.keys() | new.keys())
        if name not in FREE_FIELDS and old.get(name) != new.get(name)
    ]


def config_digest(record: dict[str, Any]) -> str:
    """A hash of the fields that change what a run computes."""
    decisive = {name: value for name, value in flatten(record).items() if name not in FREE_FIELDS}
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def flatten(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields under dotted names: `{"stream": {"lanes": 8}}` → `{"stream.lanes": 8}`."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
