"""Train a dual encoder on a dataset folder.

Run alone it is one process; under torchrun it is one of its ranks; `--launcher ray` starts ranks on
Ray. Running the same command again goes on behind the newest complete checkpoint.

Exit codes: 0 finished, 1 trouble, 2 the user's mistake, 143 saved and stopped, by
SIGTERM or SIGUSR1 on any rank, 86 a rank hung or was lost (the log says which).
"""

import importlib
import logging
import sys

from diagonal_infra import cli
from diagonal_infra.errors import UserError

with cli.packages_of("train"):
    from diagonal_train.config.train import TrainConfig
    from diagonal_train.distributed import from_environment
    from diagonal_train.loop import TrainResult, train
    from diagonal_train.planning.dry_run import dry_run
    from diagonal_train.recipes import TRAIN

STOPPED_EXIT_CODE = 128 + 15
logger = logging.getLogger(__name__)


def main(config: TrainConfig) -> None:
    """Train, and say in one line how it went."""
    if config.dry_run:
        if from_environment().is_main:
            dry_run(config)
        return
    result = launch(config)
    if not result.finished:
        logger.warning(
            "saved and stopped at step=%d, as a signal asked; run again to go on", result.steps
        )
        sys.exit(STOPPED_EXIT_CODE)
    logger.info(
        "finished run=%s steps=%d samples_seen=%d loss=%s wall_seconds=%.1f",
        *(result.run, result.steps, result.samples_seen, result.loss, result.wall_seconds),
    )


def launch(config: TrainConfig) -> TrainResult:
    """Train as this process's rank, or on Ray.

    Raises:
        UserError: several ranks are asked for without a launcher that starts them.
    """
    world = from_environment()
    if not world.is_main:
        logging.getLogger().setLevel(logging.WARNING)
    if config.launcher == "ray":
        if world.world_size > 1:
            raise UserError("--launcher ray starts the ranks itself; do not start it with torchrun")
        # Ray is wanted only here, and takes seconds to import.
        return importlib.import_module("diagonal_train.ray_train").train_on_ray(config)
    if config.workers > 1:
        raise UserError(
            f"--workers {config.workers} needs --launcher ray; or start the ranks with "
            f"torchrun --nproc-per-node {config.workers} -m -- diagonal_train …"
        )
    return train(config, world)


if __name__ == "__main__":
    cli.run_command(main, TRAIN, description=__doc__)
