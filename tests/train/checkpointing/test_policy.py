from diagonal_train.checkpointing.policy import CheckpointPolicy
from diagonal_train.config.checkpoint import CheckpointConfig
from diagonal_train.distributed import World


class Clock:
    """Shows the time that the test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_a_run_saves_by_steps_and_at_the_latest_after_so_much_time() -> None:
    clock = Clock()
    config = CheckpointConfig(every_steps=10, every_seconds=60)
    policy = CheckpointPolicy(config, World(), clock)
    saved = []
    for step in range(1, 31):
        # The first ten steps take a minute, those behind them ten.
        clock.seconds += 6 if step <= 10 else 30
        if policy.due(step):
            saved.append(step)
    assert saved == [10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30]


def test_without_a_time_only_steps_count() -> None:
    clock = Clock()
    policy = CheckpointPolicy(CheckpointConfig(every_steps=4), World(), clock)
    clock.seconds = 1e6
    assert [step for step in range(1, 10) if policy.due(step)] == [4, 8]


def test_the_clock_of_another_rank_does_not_count() -> None:
    clock = Clock()
    config = CheckpointConfig(every_steps=4, every_seconds=1)
    policy = CheckpointPolicy(config, World(rank=1, world_size=2), clock)
    clock.seconds = 1e6
    assert not policy.due(1)
