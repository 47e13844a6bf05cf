"""`train` on Ray Train: it places the ranks and joins them; all else is the loop's own.

Ray is imported here and nowhere else in this package, so training needs no Ray. When a worker is
lost Ray starts all anew, and the loop goes on behind its newest checkpoint, on as many ranks as the
cluster has left if `workers_min` says that fewer will do.
"""

import dataclasses
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path
from typing import Any

import ray.train
from ray.train.torch import TorchConfig, TorchTrainer
from ray.util.queue import Queue

from diagonal_infra import log, ray_cluster
from diagonal_infra.errors import DiagonalError
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World, device_for
from diagonal_train.loop import GROUP_GRACE_SECONDS, TrainResult, read_summary, train
from diagonal_train.start import check_run_folder

ENVIRONMENT = {
    # How often the controller looks: by default every 2 s, and each look costs next to nothing.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
}


def train_on_ray(config: TrainConfig) -> TrainResult:
    """Run `train` on `config.workers` Ray workers, on this machine or where RAY_ADDRESS points.

    Raises:
        DiagonalError: as `train` raises it, or Ray lost a worker.
    """
    check_run_folder(config.run)
    config = _with_absolute_paths(config)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    patience = int(config.recovery.hang_seconds + GROUP_GRACE_SECONDS)
    least = config.workers if config.workers_min is None else config.workers_min
    # One processor more than the ranks: Ray Train's controller takes one.
    with ray_cluster.start(num_cpus=config.workers + 1), _shown_here() as records:
        use_gpu = ray.cluster_resources().get("GPU", 0) >= least
        trainer = TorchTrainer(
            _train_worker,
            train_loop_config={"config": config, "records": records},
            torch_config=TorchConfig(backend="nccl" if use_gpu else "gloo", timeout_s=patience),
            scaling_config=ray.train.ScalingConfig(
                num_workers=config.workers if least == config.workers else (least, config.workers),
                use_gpu=use_gpu,
            ),
            run_config=ray.train.RunConfig(
                name="ray",
                storage_path=config.run,
                failure_config=ray.train.FailureConfig(max_failures=config.worker_failures),
            ),
        )
        try:
            trainer.fit()
        except ray.train.TrainingFailedError as error:
            raise _cause(error) from error
    return read_summary(config.run)


@contextmanager
def _shown_here() -> Iterator[Queue]:
    """A queue for the block; log records that workers put into it are logged by this process.

    Ray itself would show all that its own actors say, too.
    """
    records = Queue(actor_options={"num_cpus": 0})
    listener = QueueListener(records, _Relogged())  # pyright: ignore[reportArgumentType]  # has its methods
    listener.start()
    try:
        yield records
    finally:
        listener.stop()
        records.shutdown(force=True)


class _Relogged(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """As if the record were of this process."""
        logging.getLogger(record.name).handle(record)


def _train_worker(settings: dict[str, Any]) -> None:
    """One rank; Ray Train has started the process group already."""
    log.configure()
    logging.getLogger().addHandler(QueueHandler(settings["records"]))
    context = ray.train.get_context()
    world = World(
        rank=context.get_world_rank(),
        world_size=context.get_world_size(),
        local_rank=context.get_local_rank(),
        device=device_for(context.get_local_rank()),
    )
    train(settings["config"], world, preempted=_preempted)


def _preempted() -> bool:
    """Whether Ray knows that a node of these ranks goes; all ranks learn it at once."""
    return ray.train.get_preemption_info() is not None


def _with_absolute_paths(config: TrainConfig) -> TrainConfig:
    """Workers have another current folder."""

    def absolute(path: str) -> str:
        return path if "://" in path else str(Path(path).absolute())

    return dataclasses.replace(config, data=absolute(config.data), run=absolute(config.run))


def _cause(error: Exception) -> DiagonalError:
    """The rank's own error where it is one of ours, else Ray's."""
    failures = getattr(error, "worker_failures", {})
    own = [failure for failure in failures.values() if isinstance(failure, DiagonalError)]
    return own[0] if own else DiagonalError(f"Ray Train stopped: {error}")
