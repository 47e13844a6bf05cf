"""Calls that users make."""

from diagonal_infra.cli import parse_recipe
from diagonal_train.recipes import TRAIN


def test_the_demo_may_be_tried_for_fewer_steps_than_its_warmup_has() -> None:
    words = ["--global-batch-size", "64", "--samples-seen", "1920"]
    config = parse_recipe(TRAIN, description="", args=["demo", "--data", "x/*.tar", *words])
    assert config.total_steps == 30 < config.optimizer.warmup_steps
