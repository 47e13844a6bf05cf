import pytest

from diagonal_infra.cost import FetchRates, fetch_cost

RATES = FetchRates(
    images_per_core_second=50,
    cores=100,
    fetches_per_host_second=2,
    success_share=0.5,
    image_kilobytes=100,
    stored_kilobytes=10,
    core_hour_price=0.05,
)


def test_a_list_over_many_hosts_is_limited_by_the_cores() -> None:
    cost = fetch_cost(36_000_000, 7_200, RATES)
    assert cost.core_hours == pytest.approx(200)
    assert cost.hours == cost.hours_of_cores == pytest.approx(2)
    assert cost.hours_of_largest_host == pytest.approx(1)
    assert (cost.samples, cost.price) == (18_000_000, pytest.approx(10))
    assert (cost.received_gb, cost.stored_gb) == (pytest.approx(1_800), pytest.approx(180))
    assert cost.megabits_per_second == pytest.approx(2_000)


def test_one_host_that_has_most_sets_the_pace() -> None:
    cost = fetch_cost(36_000_000, 72_000, RATES)
    assert cost.hours == cost.hours_of_largest_host == pytest.approx(10)
    assert cost.core_hours == pytest.approx(200)


def test_nothing_costs_nothing() -> None:
    cost = fetch_cost(0, 0, RATES)
    assert (cost.hours, cost.price, cost.megabits_per_second) == (0, 0, 0)


def test_impossible_rates_are_refused() -> None:
    with pytest.raises(ValueError, match="success-share"):
        FetchRates(success_share=2)
