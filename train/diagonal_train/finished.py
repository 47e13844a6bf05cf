"""Whether a run is finished: its final checkpoint is there and whole.

    python -m diagonal_train.finished RECIPE FLAG…      the flags of the train command

Exit codes: 0 finished, 1 not yet, 2 the user's mistake.
"""

from diagonal_infra import cli
from diagonal_infra.errors import DiagonalError
from diagonal_train import checkpoint
from diagonal_train.config.train import TrainConfig
from diagonal_train.recipes import TRAIN


def main(config: TrainConfig) -> None:
    """Leave quietly if so.

    Raises:
        DiagonalError: steps are left.
    """
    found = checkpoint.latest_complete(config.run)
    done = 0 if found is None else found.step
    if done < config.total_steps:
        raise DiagonalError(
            f"run {config.run!r} is saved up to step {done} of {config.total_steps}; "
            "run the same command again to go on"
        )


if __name__ == "__main__":
    cli.run_command(main, TRAIN, description=__doc__)
