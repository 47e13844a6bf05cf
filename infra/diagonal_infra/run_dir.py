"""The record of what a command was asked to do, written before it starts."""

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

from diagonal_infra import storage
from diagonal_infra.metrics_server import MetricsConfig

RESULTS = ("run", "output", "dataset")
"""Fields of a stage's configuration that say where its results go, the first that is there."""


def resolved(config: Any) -> dict[str, Any]:
    """A dataclass tree as JSON-ready values, without how the command is watched."""
    values = dataclasses.asdict(config)
    if isinstance(config, MetricsConfig):
        for field in dataclasses.fields(MetricsConfig):
            del values[field.name]
    return json.loads(json.dumps(values, default=str))


def code_revision() -> str:
    """The git commit of this code, with `+changes` if the tree differs; `unknown` without git.

    An image has no git, but the commit in a file beside this one (infra/images).
    """
    folder = Path(__file__).parent
    if (noted := folder / "revision.txt").exists():
        return noted.read_text().strip()

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        changed = "+changes" if git("status", "--porcelain", "--untracked-files=no") else ""
        return git("rev-parse", "HEAD") + changed
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def write_config(folder: str, config: Any) -> None:
    """Write `folder/config.json`: the resolved tree and the code revision."""
    record = {"config": resolved(config), "code_revision": code_revision()}
    storage.write_bytes(storage.join(folder, "config.json"), to_json(record))


def to_json(record: Any) -> bytes:
    """The one JSON style of all artefacts: indented, key order kept, newline at the end."""
    return (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode()
