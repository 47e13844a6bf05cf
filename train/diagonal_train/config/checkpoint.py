"""When a run saves itself, and what it keeps."""

from dataclasses import dataclass

from diagonal_infra.errors import require


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """Checkpoints of a run. The last step is always saved."""

    every_steps: int = 1000
    """Steps between checkpoints."""
    every_seconds: float | None = None
    """Longest time between checkpoints, by the clock of the first rank; None leaves it to steps."""
    keep: int = 3
    """Newest checkpoints kept; the initial weights stay as well."""
    asynchronous: bool = True
    """Write while training goes on, from a copy in the CPU's memory."""
    retry_seconds: float = 600.0
    """How long a remote store that fails is asked again before a save counts as failed."""

    def __post_init__(self) -> None:
        require(self.every_steps >= 1, "--checkpoint.every-steps must be at least 1")
        require(self.keep >= 1, "--checkpoint.keep must be at least 1")
        seconds = self.every_seconds
        require(seconds is None or seconds > 0, "--checkpoint.every-seconds must be above 0")
        require(self.retry_seconds >= 0, "--checkpoint.retry-seconds must not be negative")
