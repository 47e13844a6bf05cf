from dataclasses import replace

import pytest

from diagonal_infra.planner.bounds import bounds
from diagonal_infra.planner.config import ClusterModel, Pictures
from diagonal_infra.planner.outcome import Simulated
from diagonal_infra.planner.simulation import simulate

CALM = ClusterModel(
    in_flight=32,
    unit_candidates=2_000,
    latency_seconds=0.5,
    latency_sigma=0.3,
    hang_share=0.0,
    largest_host_share=1e-6,
    uplink_gigabits=1_000,
    preemptions_per_hour=0.0,
    seconds=120.0,
    step_seconds=0.05,
)
"""Nothing is scarce but a worker's slots."""
LIGHT = Pictures(success_share=1.0, cpu_seconds=0.001, kilobytes=100)


def check_at_bound(run: Simulated, cluster: ClusterModel, pictures: Pictures, name: str) -> None:
    bound = bounds(cluster, pictures, run.workers)[name]
    assert run.candidates_per_second == pytest.approx(bound, rel=0.07)
    assert run.limit == name


def test_few_slots_and_slow_answers_are_limited_by_latency() -> None:
    check_at_bound(simulate(CALM, LIGHT, 10), CALM, LIGHT, "latency")


def test_heavy_pictures_are_limited_by_the_cpu() -> None:
    heavy = replace(LIGHT, cpu_seconds=0.05, success_share=0.5)
    check_at_bound(simulate(CALM, heavy, 10), CALM, heavy, "cpu")


def test_a_narrow_link_is_the_limit() -> None:
    narrow = replace(CALM, uplink_gigabits=0.1)
    check_at_bound(simulate(narrow, LIGHT, 10), narrow, LIGHT, "bandwidth")


@pytest.mark.parametrize("workers", [10, 40])
def test_a_host_with_many_urls_is_the_limit_of_any_number_of_workers(workers: int) -> None:
    polite = replace(
        CALM,
        unit_candidates=200,
        largest_host_share=0.05,
        host_exponent=2.0,
        fast_hosts=0,
        per_second=20.0,
        per_host=50,
        seconds=400.0,
    )
    check_at_bound(simulate(polite, LIGHT, workers), polite, LIGHT, "hosts")


def test_small_units_are_held_up_by_their_last_urls() -> None:
    hanging = replace(CALM, unit_candidates=100, hang_share=0.05, hang_seconds=20.0)
    run = simulate(hanging, LIGHT, 10)
    assert run.limit == "unit ends"
    assert run.candidates_per_second < 0.5 * bounds(hanging, LIGHT, 10)["latency"]


def test_lost_workers_cost_their_units_and_their_absence() -> None:
    spot = replace(CALM, preemptions_per_hour=60.0, replacement_seconds=60.0)
    calm, lossy = simulate(CALM, LIGHT, 40), simulate(spot, LIGHT, 40)
    assert calm.lost_share == 0.0
    assert lossy.lost_share > 0.05
    assert lossy.candidates_per_second < 0.6 * calm.candidates_per_second


def test_a_finite_run_gives_every_picture_once_lost_workers_or_not() -> None:
    short = replace(CALM, unit_candidates=300, seconds=600.0, preemptions_per_hour=0.0)
    assert simulate(short, LIGHT, 3, units=7).answers.sum() == 7 * 300
    half = replace(LIGHT, success_share=0.5)
    assert simulate(short, half, 3, units=7).answers.sum() == pytest.approx(7 * 150, rel=0.1)
    lossy = replace(short, preemptions_per_hour=120.0, replacement_seconds=5.0)
    assert simulate(lossy, LIGHT, 3, units=7).answers.sum() >= 7 * 300


def test_the_same_seed_gives_the_same_run() -> None:
    first, again = (simulate(CALM, LIGHT, 5) for _ in range(2))
    other = simulate(replace(CALM, seed=1), LIGHT, 5)
    assert first.answers.tolist() == again.answers.tolist()
    assert first.answers.tolist() != other.answers.tolist()


def test_the_length_of_a_step_does_not_change_the_rate() -> None:
    coarse = simulate(replace(CALM, step_seconds=0.1), LIGHT, 10)
    fine = simulate(replace(CALM, step_seconds=0.02), LIGHT, 10)
    assert coarse.candidates_per_second == pytest.approx(fine.candidates_per_second, rel=0.02)
