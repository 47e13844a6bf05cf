"""How long a step takes on each rank by itself, so that the slowest has a name.

All ranks' steps are equally long, since they wait for each other. What differs is the time outside
collectives: for data, and up to the first exchange. On CUDA the host's time is measured, which
shows slow data and slow hosts, not a slow device.
"""

import logging
import statistics

import torch

from diagonal_train.distributed import World
from diagonal_train.rank_rows import RankRows
from diagonal_train.recovering.watchdog import PLACE

SLOW = 1.5
"""Times the median, from which a rank is named."""
LISTED = 8
logger = logging.getLogger(__name__)


class RankTimes:
    """Seconds of a step by rank, since the last time they were asked for."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._before = _busy_seconds()

    def table(self, steps: int) -> dict[str, float]:
        """The slowest rank and the median, per step; every rank calls it."""
        now = _busy_seconds()
        own, self._before = (now - self._before) / max(1, steps), now
        if self._world.world_size == 1:
            return {}
        rows = torch.tensor([[own]], dtype=torch.float64, device=self._world.device)
        ranks = RankRows.equal(1, self._world)
        seconds = ranks.gather(rows).flatten().tolist()
        slowest = max(range(len(seconds)), key=seconds.__getitem__)
        # The lower of two: with two ranks the mean of both would hide a slow one.
        median = statistics.median_low(seconds)
        if self._world.is_main and seconds[slowest] > SLOW * median:
            logger.warning(
                "slow rank=%d seconds_per_step=%.3f median=%.3f slowest: %s",
                *(slowest, seconds[slowest], median, _listed(seconds)),
            )
        return {
            "slowest_rank": slowest,
            "slowest_rank_seconds": seconds[slowest],
            "median_rank_seconds": median,
        }


def _busy_seconds() -> float:
    return PLACE.busy["data"] + PLACE.busy["step"]


def _listed(seconds: list[float]) -> str:
    order = sorted(range(len(seconds)), key=seconds.__getitem__, reverse=True)
    return " ".join(f"{rank}:{seconds[rank]:.3f}" for rank in order[:LISTED])
