import math

import pytest

from diagonal_infra.planner.config import ClusterModel, PlanConfig, ScrapePlan, TrainingPlan


def test_the_heaviest_hosts_of_both_kinds_are_followed_with_their_rates() -> None:
    cluster = ClusterModel(
        largest_host_share=0.01,
        host_exponent=1.0,
        fast_hosts=100,
        latency_seconds=0.25,
        latency_sigma=0.0,
        fast_per_host=32,
        fast_per_second=100,
        per_host=4,
        per_second=5,
    )
    fast, slow = cluster.heavy_hosts[0], cluster.heavy_hosts[3]
    assert fast == (0.01, 100)
    assert slow == (pytest.approx(0.01 / 101), 5)


def test_slots_limit_a_host_whose_answers_are_slow_or_that_has_no_rate() -> None:
    slow = ClusterModel(latency_seconds=2.0, latency_sigma=0.0, per_host=4, per_second=5)
    assert slow.host_rate(10_000) == 2.0
    endless = ClusterModel(
        latency_seconds=0.1, latency_sigma=0.0, per_host=4, per_second=0, step_seconds=0.1
    )
    assert endless.host_rate(10_000) == pytest.approx(40.0)
    assert not math.isinf(endless.host_rate(10_000))


def test_a_slot_is_held_longer_by_urls_that_hang() -> None:
    cluster = ClusterModel(
        latency_seconds=0.5, latency_sigma=0.0, hang_share=0.1, hang_seconds=20.0
    )
    assert cluster.mean_slot_seconds == pytest.approx(0.9 * 0.5 + 0.1 * 20)


def test_impossible_plans_name_the_flag() -> None:
    with pytest.raises(ValueError, match=r"--scrape\.success-share"):
        ScrapePlan(success_share=1.5)
    with pytest.raises(ValueError, match=r"--training\.utilisation"):
        TrainingPlan(utilisation=12)
    with pytest.raises(ValueError, match=r"--cluster\.workers"):
        ClusterModel(workers=(0, 1))
    with pytest.raises(ValueError, match=r"--cluster\.latency-sigma"):
        ClusterModel(latency_sigma=-1.0)
    with pytest.raises(ValueError, match=r"--cluster\.step-seconds"):
        ClusterModel(latency_seconds=0.1, step_seconds=0.2)
    with pytest.raises(ValueError, match=r"--cluster\.largest-host-share"):
        ClusterModel(largest_host_share=0.5, host_exponent=0.0)
    with pytest.raises(ValueError, match=r"--training\.last-image-size 300"):
        PlanConfig(training=TrainingPlan(last_image_size=300))
