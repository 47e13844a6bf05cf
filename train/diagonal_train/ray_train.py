"""`train` on Ray Train: it places the ranks and joins them; all else is the loop's own.

Ray is imported here and nowhere else in this package, so training needs no Ray.
"""

import dataclasses
from pathlib import Path
from typing import Any

import ray.train
from ray.train.torch import TorchConfig, TorchTrainer

from diagonal_infra import ray_cluster
from diagonal_infra.errors import DiagonalError
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World, device_for
from diagonal_train.loop import TrainResult, read_summary, train
from diagonal_train.start import check_run_folder


def train_on_ray(config: TrainConfig) -> TrainResult:
    """Run `train` on `config.workers` Ray workers, on this machine or where RAY_ADDRESS points.

    Raises:
        DiagonalError: as `train` raises it, or Ray lost a worker.
    """
    check_run_folder(config.run)
    config = _with_absolute_paths(config)
    # One processor more than the ranks: Ray Train's controller takes one.
    with ray_cluster.start(num_cpus=config.workers + 1):
        use_gpu = ray.cluster_resources().get("GPU", 0) >= config.workers
        trainer = TorchTrainer(
            _train_worker,
            train_loop_config={"config": config},
            torch_config=TorchConfig(backend="nccl" if use_gpu else "gloo"),
            scaling_config=ray.train.ScalingConfig(num_workers=config.workers, use_gpu=use_gpu),
            run_config=ray.train.RunConfig(
                name="ray", storage_path=str(Path(config.run).absolute())
            ),
        )
        try:
            trainer.fit()
        except ray.train.TrainingFailedError as error:
            raise _cause(error) from error
    return read_summary(config.run)


def _train_worker(settings: dict[str, Any]) -> None:
    """One rank; Ray Train has started the process group already."""
    context = ray.train.get_context()
    world = World(
        rank=context.get_world_rank(),
        world_size=context.get_world_size(),
        local_rank=context.get_local_rank(),
        device=device_for(context.get_local_rank()),
    )
    train(settings["config"], world)


def _with_absolute_paths(config: TrainConfig) -> TrainConfig:
    """Workers have another current folder."""
    places = {name: getattr(config, name) for name in ("data", "run")}
    local = {name: path for name, path in places.items() if "://" not in path}
    absolute = {name: str(Path(path).absolute()) for name, path in local.items()}
    return dataclasses.replace(config, **absolute)


def _cause(error: Exception) -> DiagonalError:
    """The rank's own error where it is one of ours, else Ray's."""
    failures = getattr(error, "worker_failures", {})
    own = [failure for failure in failures.values() if isinstance(failure, DiagonalError)]
    return own[0] if own else DiagonalError(f"Ray Train stopped: {error}")
