"""One checkpoint, written by all ranks, that appears whole or not at all.

    all ranks write aside ─► each hashes its own files ─► (each uploads its own) ─► manifest, last

In a local run folder the ranks write into one folder, which rank 0 renames. For a run elsewhere
each writes into a temporary folder and uploads from there; the manifest's one upload makes the
checkpoint complete. Nothing is left aside after an error; what a kill leaves in a local run the
next save clears.
"""

import errno
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import torch.distributed as dist
from torch.distributed.checkpoint import state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemWriter

from diagonal_infra import storage
from diagonal_infra.errors import CheckpointError, DiagonalError, StorageError
from diagonal_infra.run_dir import to_json
from diagonal_infra.storage import PARTIAL_MARK, sync_folder
from diagonal_train.checkpointing import manifest
from diagonal_train.checkpointing.manifest import MANIFEST, SCHEMA_VERSION
from diagonal_train.checkpointing.tensors import single_process_is_fine
from diagonal_train.distributed import World

COPY_BYTES = 2**23
LONGEST_PAUSE_SECONDS = 60.0
Value = TypeVar("Value")
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """The processes that write together; `group` is theirs alone, so that it can be in a thread."""

    world: World
    group: dist.ProcessGroup | None = None

    def together(self, function: Callable[[], Value]) -> Value:
        """What the function returns here; trouble on any rank is raised on all.

        Raises:
            CheckpointError: the function failed somewhere.
        """
        value: Value | None = None
        trouble: BaseException | None = None
        try:
            value = function()
        except (OSError, RuntimeError, DiagonalError, CheckpointException) as error:
            trouble = error
        troubles = self.all_of(None if trouble is None else reason_of(trouble))
        if reasons := [each for each in troubles if each]:
            raise CheckpointError(reasons[0]) from trouble
        return cast("Value", value)

    def all_of(self, value: Value) -> list[Value]:
        """Every rank's value, in rank order."""
        if self.group is None:
            return [value]
        boxes: list[Value] = [value] * self.world.world_size
        dist.all_gather_object(boxes, value, group=self.group)
        return boxes


def write(
    tensors: dict[str, Any], record: dict[str, Any], run: str, ranks: Ranks, *, retry_seconds: float
) -> None:
    """Write the checkpoint of `record["step"]`; every rank calls it.

    Raises:
        CheckpointError: it could not be written; those before are as they were.
    """
    final, world = manifest.place(run, record["step"]), ranks.world
    local = storage.local_path(final)
    aside: Path | None = None
    try:
        aside = ranks.together(lambda: _make_aside(local, world))
        ranks.together(lambda: _save_tensors(tensors, aside, ranks))
        own = ranks.together(lambda: _describe_own(aside, world.rank))
        if local is None:
            ranks.together(lambda: _clear(final, world, retry_seconds))
            ranks.together(lambda: _upload(aside, list(own), final, retry_seconds))
        files = {name: what for part in ranks.all_of(own) for name, what in sorted(part.items())}
        content = to_json({"schema_version": SCHEMA_VERSION, **record, "files": files})
        ranks.together(lambda: _commit(content, aside, final, world, retry_seconds))
    finally:
        if aside is not None and (local is None or world.is_main):
            shutil.rmtree(aside, ignore_errors=True)
    if world.is_main:
        logger.info("saved checkpoint step=%d path=%s", record["step"], final)


def reason_of(error: BaseException) -> str:
    """What went wrong, in a line, out of torch's collection of tracebacks."""
    if isinstance(error, CheckpointException):
        first = next(iter(error.failures.values()))
        return reason_of(first[0])
    return str(error) or repr(error)


def _make_aside(local: str | None, world: World) -> Path:
    if local is None:
        return Path(tempfile.mkdtemp(prefix="diagonal-checkpoint-"))
    aside = Path(f"{local}{PARTIAL_MARK}0")
    if world.is_main:
        for leftover in aside.parent.glob(f"step-*{PARTIAL_MARK}*"):
            shutil.rmtree(leftover)
        aside.mkdir(parents=True)
    return aside


def _save_tensors(tensors: dict[str, Any], aside: Path, ranks: Ranks) -> None:
    with single_process_is_fine():
        state_dict_saver.save(
            tensors,
            # With more threads the errors of all but the first are lost, and their files missing.
            storage_writer=FileSystemWriter(aside, thread_count=1),
            process_group=ranks.group,
            no_dist=ranks.group is None,
        )


def _describe_own(aside: Path, rank: int) -> dict[str, dict[str, Any]]:
    """Size and hash of the files that this rank has written."""
    mine = sorted(aside.glob(f"__{rank}_*.distcp"))
    paths = [*mine, aside / ".metadata"] if rank == 0 else mine
    described = manifest.describe_all([str(path) for path in paths])
    return {path.name: what for path, what in zip(paths, described, strict=True)}


def _clear(final: str, world: World, retry_seconds: float) -> None:
    """Remove what was there: until the new manifest is, no manifest vouches for mixed files."""
    if world.is_main:
        _retried(lambda: storage.delete(storage.join(final, MANIFEST)), retry_seconds)
        _retried(lambda: storage.delete_tree(final), retry_seconds)


def _upload(aside: Path, names: list[str], final: str, retry_seconds: float) -> None:
    for name in names:
        _retried(lambda name=name: _copy(aside / name, storage.join(final, name)), retry_seconds)


def _copy(source: Path, target: str) -> None:
    with source.open("rb") as file, storage.write_whole(target) as out:
        shutil.copyfileobj(file, out, COPY_BYTES)


def _commit(content: bytes, aside: Path, final: str, world: World, retry_seconds: float) -> None:
    """Rank 0 writes the manifest, and with it the checkpoint is complete."""
    if not world.is_main:
        return
    local = storage.local_path(final)
    if local is None:
        path = storage.join(final, MANIFEST)
        _retried(lambda: storage.write_bytes(path, content), retry_seconds)
        return
    with (aside / MANIFEST).open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(aside)
    shutil.rmtree(local, ignore_errors=True)
    aside.rename(local)
    sync_folder(aside.parent)


def _retried(action: Callable[[], None], seconds: float) -> None:
    """Do it; a store that fails is asked again, after longer and longer pauses, for so long."""
    until, pause = time.monotonic() + seconds, 0.5
    while True:
        try:
            return action()
        except (OSError, StorageError) as error:
            full = isinstance(error, OSError) and error.errno == errno.ENOSPC
            if full or time.monotonic() + pause > until:
                raise
            logger.warning("storage trouble, trying again in %.1f s: %s", pause, error)
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
