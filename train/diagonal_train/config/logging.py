"""Where a run's records go besides RUN/metrics.jsonl and RUN/tensorboard."""

from dataclasses import dataclass
from typing import Annotated

from diagonal_infra.cli import also
from diagonal_infra.errors import require


@dataclass(frozen=True, kw_only=True)
class LoggingConfig:
    """Trackers that get each line of metrics.jsonl; one that fails is left out."""

    measure_every_steps: int = 20
    """Steps between lines that also say what costs something to find out: norms of gradients and
    updates, logits, padding, memory, MFU."""
    tensorboard: bool = True
    """Write RUN/tensorboard; local run folders only."""
    wandb: str | None = None
    """Project on Weights & Biases; needs the package wandb. A resumed run keeps its id."""
    mlflow: str | None = None
    """Tracking URI of MLflow; needs the package mlflow. A resumed run keeps its id."""
    metrics_port: Annotated[int, also("--metrics-port")] = 0
    """Serve the newest line as Prometheus metrics on this port of rank 0's machine; 0 is off."""
    metrics_address: Annotated[str, also("--metrics-address")] = "127.0.0.1"
    """Address of that machine on which they are served; 0.0.0.0 is all of them."""

    def __post_init__(self) -> None:
        require(self.measure_every_steps >= 1, "--logging.measure-every-steps must be at least 1")
        require(self.wandb != "", "--logging.wandb must name a project")
        require(self.mlflow != "", "--logging.mlflow must be a tracking URI")
