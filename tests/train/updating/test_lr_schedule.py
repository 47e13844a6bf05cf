import pytest

from diagonal_train.config.optimizer import OptimizerConfig, check_schedule
from diagonal_train.updating.lr_schedule import lr_at


def rates(config: OptimizerConfig, total_steps: int = 12) -> list[float]:
    return [lr_at(step, config=config, total_steps=total_steps) for step in range(total_steps + 1)]


def test_lr_rises_linearly_then_falls_as_a_cosine() -> None:
    found = rates(OptimizerConfig(lr=1.0, warmup_steps=4))
    assert found[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert found[8] == pytest.approx(0.5)
    assert found[12] == pytest.approx(0)
    assert found[4:] == sorted(found[4:], reverse=True)


def test_constant_stays_to_the_end() -> None:
    found = rates(OptimizerConfig(lr=1.0, warmup_steps=2, schedule="constant"))
    assert found == [0.5] + [1.0] * 12


def test_a_cooldown_falls_over_the_last_steps_only() -> None:
    found = rates(OptimizerConfig(lr=1.0, warmup_steps=2, schedule="cooldown", cooldown_steps=4))
    assert found == [0.5] + [1.0] * 8 + [0.75, 0.5, 0.25, 0.0]


def test_a_cooldown_by_the_root_falls_fast_at_first() -> None:
    config = OptimizerConfig(
        lr=1.0, warmup_steps=2, schedule="cooldown", cooldown_steps=4, cooldown="sqrt"
    )
    assert rates(config)[8:] == pytest.approx([1.0, 0.5, 1 - 0.5**0.5, 1 - 0.75**0.5, 0.0])


def test_a_run_that_is_lengthened_is_the_same_up_to_its_cooldown() -> None:
    config = OptimizerConfig(lr=1.0, warmup_steps=2, schedule="cooldown", cooldown_steps=4)
    assert rates(config, 20)[:8] == rates(config, 12)[:8]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"lr": 0.0}, "--optimizer.lr must be above 0, got 0.0"),
        ({"lr": float("nan")}, "--optimizer.lr must be above 0, got nan"),
        ({"cooldown_steps": 5}, "cosine does not go with --optimizer.cooldown-steps 5"),
        ({"schedule": "cooldown"}, "cooldown does not go with --optimizer.cooldown-steps 0"),
        ({"layer_lr_decay": 1.5}, "--optimizer.layer-lr-decay is above 0, at most 1, got 1.5"),
    ],
)
def test_values_that_cannot_be_are_refused_by_flag(fields: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OptimizerConfig(**fields)  # pyright: ignore[reportArgumentType]  # wrong on purpose


def test_a_warmup_longer_than_the_run_only_rises() -> None:
    config = OptimizerConfig(lr=1.0, warmup_steps=20)
    check_schedule(config, 4)
    assert rates(config, 4) == [0.05, 0.1, 0.15, 0.2, 0.25]


def test_warmup_and_cooldown_do_not_overlap() -> None:
    both = OptimizerConfig(warmup_steps=5, schedule="cooldown", cooldown_steps=4)
    with pytest.raises(ValueError, match="cooldown-steps 4 together are more than the 8 steps"):
        check_schedule(both, 8)
