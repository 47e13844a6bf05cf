import re
from dataclasses import replace
from pathlib import Path

import pytest

from diagonal_infra.planner.config import (
    ClusterModel,
    PlanConfig,
    Prices,
    ScrapePlan,
    TrainingPlan,
)
from diagonal_infra.planner.costs import Line, plan_lines, reckon, training_hours
from diagonal_infra.planner.recipes import PLANS

ROUND = PlanConfig(
    scrape=ScrapePlan(
        pairs=36_000_000,
        success_share=0.5,
        kept_share=0.5,
        cores=10,
        images_per_core_second=100,
        image_kilobytes=100,
        stored_kilobytes=10,
        score_per_gpu_second=1_000,
    ),
    cluster=ClusterModel(
        largest_host_share=0.01, host_exponent=2.0, fast_hosts=0, per_second=5.0, per_host=100
    ),
    prices=Prices(core_hour=1.0, gpu_hour=10.0, terabyte_month=100.0, months=2.0),
    results="",
)


def by_name(config: PlanConfig) -> dict[tuple[str, str], Line]:
    return {(line.part, line.name): line for line in plan_lines(config, reckon(config))}


def test_pairs_are_followed_back_to_candidates_and_forward_to_bytes() -> None:
    lines = by_name(ROUND)
    assert lines["scrape", "candidates"].value == 144
    assert lines["dataset", "pictures"].value == 72
    assert lines["scrape", "received"].value == pytest.approx(7.2)
    assert lines["dataset", "stored"].value == pytest.approx(0.72)
    assert lines["dataset", "CLIP scores"].value == pytest.approx(20)


def test_hours_are_of_the_cores_and_of_the_host_that_lasts_longest() -> None:
    lines = by_name(ROUND)
    assert lines["scrape", "fetching and decoding"].value == pytest.approx(200)
    assert lines["scrape", "hours of the cores"].value == pytest.approx(20)
    assert lines["scrape", "hours of the slowest host"].value == pytest.approx(80)
    assert lines["scrape", "mean bandwidth"].value == pytest.approx(0.2)


def test_money_is_quantities_times_prices_and_their_sum() -> None:
    lines = by_name(ROUND)
    found = reckon(ROUND)
    assert lines["money", "money for storage"].value == pytest.approx(144)
    assert lines["money", "money for scores"].value == pytest.approx(200)
    assert lines["money", "money for training"].value == pytest.approx(
        10 * found.training_gpu_hours
    )
    parts = [
        line.value for key, line in lines.items() if key[0] == "money" and key[1] != "money in all"
    ]
    assert lines["money", "money in all"].value == pytest.approx(sum(parts))


def test_the_last_epoch_at_more_pixels_is_added() -> None:
    plain = PLANS["clip-l14-336"]()
    before = replace(plain, training=replace(plain.training, last_image_size=None))
    added = training_hours(plain, 0.12) - training_hours(before, 0.12)
    # 0.4 B samples of 395.2 GFLOP beside 12.8 B of 175.3.
    assert added / training_hours(before, 0.12) == pytest.approx(0.4 * 395.2 / (12.8 * 175.3), 1e-3)


def test_a_gpu_with_a_higher_peak_needs_fewer_hours() -> None:
    newer = replace(ROUND, training=TrainingPlan(gpu="h100"))
    assert training_hours(newer, 0.3) == pytest.approx(training_hours(ROUND, 0.3) * 312 / 989)


@pytest.mark.parametrize("name", PLANS)
def test_every_line_of_every_plan_has_an_assumption_and_a_source(name: str, tmp_path: Path) -> None:
    for results in ("benchmarks/results", str(tmp_path)):
        for line in plan_lines(plan := replace(PLANS[name](), results=results), reckon(plan)):
            assert line.value > 0, line
            assert line.assumption, line
            assert re.match("given|computed|measured: |published: |assumed: ", line.source), line
