"""After which steps a run saves itself."""

import time
from collections.abc import Callable

import torch

from diagonal_train.config.checkpoint import CheckpointConfig
from diagonal_train.distributed import World, sum_over_ranks


class CheckpointPolicy:
    """By steps, and by the clock of rank 0 if `--checkpoint.every-seconds` is set."""

    def __init__(
        self,
        config: CheckpointConfig,
        world: World,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config, self._world, self._now = config, world, now
        self._since = now()

    def due(self, step: int) -> bool:
        """Whether to save behind `step` steps, the same on all ranks, which all ask."""
        due = step % self._config.every_steps == 0 or self._is_time()
        if due:
            self._since = self._now()
        return due

    def _is_time(self) -> bool:
        seconds = self._config.every_seconds
        if seconds is None:
            return False
        # Clocks differ between ranks: the first one's counts.
        late = self._world.is_main and self._now() - self._since >= seconds
        return sum_over_ranks(torch.tensor([int(late)], device=self._world.device)).item() > 0
