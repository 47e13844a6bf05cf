"""What a simulated cluster did, and what kept it from doing more."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SMALLEST_BUSY = 0.85
"""A resource that is used so much of its time is the limit."""
SMALLEST_IDLE = 0.05
"""Slots that are idle although neither is: what they lack is then the limit."""


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """What some number of workers did once they were under way."""

    workers: int
    candidates_per_second: float
    """Done for good: what lost workers had begun is not counted."""
    pictures_per_second: float
    """Decoded, lost ones too."""
    cpu_share: float
    """Of the time of the workers that were there, spent decoding."""
    bandwidth_share: float
    """Of the link."""
    hosts_share: float
    """Slots that were idle because every URL in hand was waiting for its host."""
    ends_share: float
    """Slots that were idle because units waited for their last URLs."""
    latency_share: float
    """Slots that waited for an answer."""
    lost_share: float
    """Of the candidates that were done, again because their worker was lost."""
    answers: NDArray[np.int64]
    """Pictures that arrived, by step, from the start."""
    step_seconds: float

    @property
    def limit(self) -> str:
        """What holds the rate down: cpu, bandwidth, hosts, unit ends or latency."""
        if self.cpu_share >= SMALLEST_BUSY:
            return "cpu"
        if self.bandwidth_share >= SMALLEST_BUSY:
            return "bandwidth"
        if max(self.hosts_share, self.ends_share) < SMALLEST_IDLE:
            return "latency"
        return "hosts" if self.hosts_share >= self.ends_share else "unit ends"
