"""When a run saves itself, and what it keeps."""

from dataclasses import dataclass

from diagonal_infra.errors import require


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """Checkpoints of a run. The last step is always saved."""

    every_steps: int = 1000
    """Steps between checkpoints."""
    keep: int = 3
    """Newest checkpoints kept; the initial weights stay as well."""

    def __post_init__(self) -> None:
        require(self.every_steps >= 1, "--checkpoint.every-steps must be at least 1")
        require(self.keep >= 1, "--checkpoint.keep must be at least 1")
