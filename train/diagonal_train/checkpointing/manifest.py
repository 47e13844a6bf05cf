"""What makes a checkpoint complete: a manifest, written last, with size and hash of every file.

    RUN/checkpoints/step-00001000/*.distcp, .metadata    torch.distributed.checkpoint
    RUN/checkpoints/step-00001000/manifest.json          the rest, and sizes and hashes of these

RUN is a local path or any fsspec URL.
"""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diagonal_infra import storage
from diagonal_infra.errors import CheckpointError, StorageError, UserError

SCHEMA_VERSION = 2
"""2 adds the digest of the configuration, the meters, and averaged weights."""
MANIFEST = "manifest.json"
HASH_CHUNK_BYTES = 2**20
HASH_THREADS = 8


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A complete checkpoint, as its manifest describes it."""

    path: str
    step: int
    samples_seen: int
    data_digest: str
    config_digest: str = ""
    """Of the fields that decide what is computed; "" where it was not recorded."""
    meters: dict[str, Any] = field(default_factory=dict)


def place(run: str, step: int) -> str:
    """Path or URL of the checkpoint of a step."""
    return storage.join(run, "checkpoints", f"step-{step:08d}")


def folder(run: str, step: int) -> Path:
    """Where the checkpoint of a step is kept, of a run on a local path."""
    local = storage.local_path(run)
    assert local is not None, run
    return Path(place(local, step))


def steps(run: str) -> list[int]:
    """Steps that have a checkpoint folder, complete or not, in order."""
    names = storage.list_files(storage.join(run, "checkpoints"))
    numbers = (name.removeprefix("step-") for name in names if name.startswith("step-"))
    return sorted(int(number) for number in numbers if number.isdigit())


def read(run: str, step: int) -> Checkpoint:
    """Check every file of a checkpoint against its manifest.

    Raises:
        CheckpointError: a file is missing, short or altered.
        UserError: a newer version of this code wrote it.
        StorageError: the store does not answer, so nothing is known.
    """
    path = place(run, step)
    with _damage_in(path):
        record = _read_manifest(path)
        files = record["files"]
        if describe_all([storage.join(path, name) for name in files]) != list(files.values()):
            raise CheckpointError(f"{path}: a file is not what {MANIFEST} says")
        return Checkpoint(
            path=path,
            step=record["step"],
            samples_seen=record["samples_seen"],
            data_digest=record["data_digest"],
            config_digest=record.get("config_digest", ""),
            meters=record.get("meters", {}),
        )


def seems_complete(run: str, step: int) -> bool:
    """Whether the manifest is there and all files have its sizes; contents are not read."""
    path = place(run, step)
    try:
        with _damage_in(path):
            files = _read_manifest(path)["files"]
            return all(
                storage.size(storage.join(path, name)) == expected["bytes"]
                for name, expected in files.items()
            )
    except CheckpointError:
        return False


def has_manifest(run: str, step: int) -> bool:
    """Whether the checkpoint was whole once: no save or deletion that is killed leaves this."""
    return storage.exists(storage.join(place(run, step), MANIFEST))


def delete(run: str, step: int) -> None:
    """Remove a checkpoint, its manifest first: a kill leaves no complete one without a file."""
    path = place(run, step)
    storage.delete(storage.join(path, MANIFEST))
    storage.delete_tree(path)


def describe_all(paths: list[str]) -> list[dict[str, Any]]:
    """Size and hash of each file, in order; several are read at a time."""
    with ThreadPoolExecutor(HASH_THREADS) as pool:
        return list(pool.map(_describe, paths))


def _describe(path: str) -> dict[str, Any]:
    content, size = hashlib.sha256(), 0
    with storage.open_read(path) as file:
        while chunk := file.read(HASH_CHUNK_BYTES):
            content.update(chunk)
            size += len(chunk)
    return {"bytes": size, "sha256": content.hexdigest()}


def _read_manifest(path: str) -> dict[str, Any]:
    record = json.loads(storage.read_bytes(storage.join(path, MANIFEST)))
    version = record["schema_version"]
    if version > SCHEMA_VERSION:
        raise UserError(
            f"{path} was written by newer code (schema version {version}, this code reads up to "
            f"{SCHEMA_VERSION}); use that code, or another --run"
        )
    return record


@contextmanager
def _damage_in(path: str) -> Iterator[None]:
    """Tell a damaged checkpoint from a store that does not answer."""
    try:
        yield
    except StorageError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        raise CheckpointError(f"{path} is incomplete: {error}") from error
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is incomplete: {error}") from error
