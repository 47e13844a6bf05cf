"""What a run does about trouble: bad steps, ranks that hang, data that does not come."""

from dataclasses import dataclass

from diagonal_infra.errors import require


@dataclass(frozen=True, kw_only=True)
class RecoveryConfig:
    """When to pass a batch, go back or stop, and how long silence may last."""

    max_skips: int = 3
    """Steps in a row without an update, their loss or gradient not being finite, before the run
    goes back to a checkpoint."""
    spike_sigma: float | None = None
    """A loss or gradient norm so many deviations (by the median of the last 200) above the median
    makes the run go back to a checkpoint; None: never."""
    max_rollbacks: int = 2
    """How often the whole run may go back; then it stops."""
    hang_seconds: float = 600.0
    """A rank that is in one stage (data, step, save, …) for longer ends, and says where it was."""
    data_wait_seconds: float = 60.0
    """A rank that waits for data for longer says so."""

    def __post_init__(self) -> None:
        require(self.max_skips >= 0, "--recovery.max-skips must not be negative")
        require(self.max_rollbacks >= 0, "--recovery.max-rollbacks must not be negative")
        sigma = self.spike_sigma
        require(sigma is None or sigma > 0, f"--recovery.spike-sigma must be above 0, got {sigma}")
        require(self.hang_seconds > 0, "--recovery.hang-seconds must be above 0")
        require(self.data_wait_seconds > 0, "--recovery.data-wait-seconds must be above 0")
