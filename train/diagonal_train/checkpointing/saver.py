"""Saving a run while it goes on.

    save(state): copy the state to the CPU ─► go on     thread: write, hash, upload, commit, prune

A save first waits for the one before it. One that fails is logged and leaves the older checkpoints;
after `MAX_FAILURES` in a row, or if the last one of the run fails, the run stops with the reason.
"""

import json
import logging
import threading
from datetime import timedelta
from types import TracebackType
from typing import Any

import torch.distributed as dist

from diagonal_infra.errors import CheckpointError, StorageError
from diagonal_train.checkpointing import manifest
from diagonal_train.checkpointing.tensors import staged, state_tensors
from diagonal_train.checkpointing.writer import Ranks, write
from diagonal_train.config.checkpoint import CheckpointConfig
from diagonal_train.distributed import World
from diagonal_train.state import TrainState

MAX_FAILURES = 3
"""Saves that may fail in a row."""
GROUP_TIMEOUT = timedelta(minutes=30)
"""Longest a rank waits for another in the background, beyond the retries of the store."""
logger = logging.getLogger(__name__)


class Saver:
    """Saves the states of a run; every rank calls it alike. Leaving the block waits for the last.

    After an error in the block the save under way is finished if it can be, and says nothing.
    """

    def __init__(
        self,
        run: str,
        world: World,
        config: CheckpointConfig,
        *,
        data_digest: str,
        config_digest: str = "",
    ) -> None:
        self._run, self._config = run, config
        self._digests = {"data_digest": data_digest, "config_digest": config_digest}
        self._ranks = Ranks(world=world)
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._failures = 0

    def save(self, state: TrainState, *, step: int, samples_seen: int) -> None:
        """Begin to save what is behind `step` steps; the state may change once this returns.

        Raises:
            CheckpointError: the saves before could not be written.
        """
        self._join(allowed=MAX_FAILURES - 1)
        record = {
            "step": step,
            "samples_seen": samples_seen,
            **self._digests,
            # A copy: the meters go on.
            "meters": json.loads(json.dumps(state.meters)),
        }
        tensors = state_tensors(state, step)
        self._ranks = self._ranks_with_group()
        if not self._config.asynchronous:
            self._write(tensors, record)
            return
        # A daemon, so that trouble elsewhere is not kept from ending the process.
        self._thread = threading.Thread(
            target=self._write, args=(staged(tensors), record), name="checkpoint", daemon=True
        )
        self._thread.start()

    def wait(self) -> None:
        """Wait for the save under way.

        Raises:
            CheckpointError: it could not be written.
        """
        self._join(allowed=0)

    def __enter__(self) -> "Saver":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._join(allowed=0 if error is None else MAX_FAILURES)
        finally:
            # The group must not outlive the process group that it is part of.
            self._ranks = Ranks(world=self._ranks.world)

    def _ranks_with_group(self) -> Ranks:
        world = self._ranks.world
        if world.world_size == 1 or self._ranks.group is not None:
            return self._ranks
        timeout = GROUP_TIMEOUT + timedelta(seconds=self._config.retry_seconds)
        group = dist.new_group(backend="gloo", timeout=timeout)
        assert isinstance(group, dist.ProcessGroup)
        return Ranks(world=world, group=group)

    def _join(self, *, allowed: int) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None and self._failures > allowed:
            raise CheckpointError(
                f"{self._failures} saves in a row failed, the last with: {error}; what was saved "
                "before is whole: free space or mend the store, and run again to go on from there"
            ) from error

    def _write(self, tensors: dict[str, Any], record: dict[str, Any]) -> None:
        """The border of the unit: any error is kept for the next call from the loop."""
        try:
            write(tensors, record, self._run, self._ranks, retry_seconds=self._config.retry_seconds)
            self._failures = 0
            if self._ranks.world.is_main:
                self._prune(record["step"])
        except Exception as error:  # a thread's error would be lost
            self._error = error
            self._failures += 1
            logger.warning(
                "checkpoint not saved step=%d failures_in_a_row=%d of=%d error=%s; older ones stay",
                *(record["step"], self._failures, MAX_FAILURES, error),
                exc_info=not isinstance(error, CheckpointError),
            )

    def _prune(self, step: int) -> None:
        try:
            prune(self._run, self._config.keep, saved=step)
        except (OSError, StorageError) as error:
            logger.warning("old checkpoints not deleted run=%s error=%s", self._run, error)


def prune(run: str, keep: int, *, saved: int) -> None:
    """Leave the newest `keep` complete checkpoints up to step `saved`, and that of step 0.

    Damaged ones do not count. Those behind `saved` are deleted too: the run goes on from before
    them, and they would be looked at first.
    """
    for step in manifest.steps(run):
        if step > saved and not manifest.seems_complete(run, step):
            logger.warning("deleting a damaged checkpoint path=%s", manifest.place(run, step))
            manifest.delete(run, step)
    kept = 0
    for step in reversed([s for s in manifest.steps(run) if 0 < s <= saved]):
        if kept == keep:
            manifest.delete(run, step)
        elif step == saved or manifest.seems_complete(run, step):
            kept += 1
