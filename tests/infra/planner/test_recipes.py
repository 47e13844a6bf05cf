from diagonal_infra.planner.costs import reckon
from diagonal_infra.planner.recipes import PLANS


def test_the_large_model_takes_as_long_as_was_published() -> None:
    """open_clip's L/14 took 50,800 A100-hours; the epoch at 336 pixels adds seven per cent."""
    assert 48_000 < reckon(PLANS["clip-l14-336"]()).training_gpu_hours < 58_000


def test_plans_are_of_the_clip_papers_size() -> None:
    for name in ("clip-b32", "clip-l14-336"):
        plan = PLANS[name]()
        assert (plan.scrape.pairs, plan.training.samples) == (400_000_000, 12.8e9)
