"""What a run's own files say about its model, for the model card.

    RUN/config.json                           what was asked for, and the code revision
    RUN/metrics.jsonl                         the loss at the exported step
    RUN/summary.json                          device, ranks, time; only when its last step is taken
    RUN/eval, RUN/../eval: results.json       measurements of this step of this run

A file that is missing, or speaks of another step or run, adds nothing.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from diagonal_infra import storage

CREDENTIALS = re.compile(r"(?<=://)[^/@:]+(:[^/@]*)?@")
QUERY = re.compile(r"(https?://[^?]*?)\?.*?(?=::|$)")
"""A signed URL's signature."""


@dataclass(frozen=True, kw_only=True)
class Records:
    """A run's own words."""

    name: str
    """Of the run folder."""
    step: int
    config: dict[str, Any]
    code_revision: str
    metrics: dict[str, Any]
    """The last logged line up to `step`."""
    summary: dict[str, Any]
    results: dict[str, Any]


def read_records(run: str, step: int) -> Records:
    """All that is known about that step of the run; its config.json must be there."""
    record = _json(storage.join(run, "config.json"))
    summary = _json(storage.join(run, "summary.json"))
    return Records(
        name=PurePath(run).name,
        step=step,
        config=record["config"],
        code_revision=record.get("code_revision", "unknown"),
        metrics=_metrics_until(run, step),
        summary=summary if summary.get("steps") == step else {},
        results=_results(run, step),
    )


def shown_address(address: str) -> str:
    """A data address without user, password and signature."""
    return QUERY.sub(r"\1", CREDENTIALS.sub("", address))


def _metrics_until(run: str, step: int) -> dict[str, Any]:
    path = storage.join(run, "metrics.jsonl")
    lines = storage.read_bytes(path).splitlines() if storage.exists(path) else []
    found: dict[str, Any] = {}
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            break  # a kill cut the last line
        if record["step"] > step:
            break
        found = record
    return found


def _results(run: str, step: int) -> dict[str, Any]:
    for folder in _evaluations(run):
        results = _json(storage.join(folder, "results.json"))
        asked = _json(storage.join(folder, "config.json")).get("config", {})
        evaluated = str(asked.get("checkpoint", "")).partition("/checkpoints/")[0]
        same_run = PurePath(evaluated).name == PurePath(run).name
        if results.get("checkpoint_step") == step and same_run:
            return results
    return {}


def _evaluations(run: str) -> Iterator[str]:
    yield storage.join(run, "eval")
    parent = run.rstrip("/").rpartition("/")[0]
    yield storage.join(parent, "eval") if parent else "eval"


def _json(path: str) -> dict[str, Any]:
    return json.loads(storage.read_bytes(path)) if storage.exists(path) else {}
