"""The slots of one host, with random workers that want any number of them."""

import random

import pytest

from diagonal_data.lent_slots import LentSlots


@pytest.mark.parametrize("seed", range(20))
def test_slots_lie_idle_only_when_nobody_wants_them_and_shares_are_fair(seed: int) -> None:
    rng = random.Random(seed)
    most = rng.randint(1, 12)
    wants = {f"w{i}": rng.randint(1, most) for i in range(rng.randint(1, 15))}
    slots = LentSlots(most=most, interval_seconds=0.0, free=[0.0] * most)
    now = 0.0
    for _ in range(30):
        for worker in rng.sample(list(wants), len(wants)):
            now += 0.001
            recalled = slots.recall(worker, now)
            for _ in range(recalled):
                slots.take_back(0.0, now)
            kept = slots.held.get(worker, 0) - recalled
            slots.settle(worker, kept, now)
            if kept < wants[worker]:
                slots.waiting[worker] = wants[worker] - kept
                slots.lend(worker, now)
            assert len(slots.free) + sum(slots.held.values()) == most
    demand = sum(wants.values())
    assert sum(slots.held.values()) == min(most, demand)
    short = [slots.held.get(worker, 0) for worker in wants if worker in slots.waiting]
    if short:
        assert max(slots.held.values()) <= min(short) + 1
