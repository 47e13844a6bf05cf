from typing import Any

import numpy as np
import pytest

from diagonal_infra.errors import UserError
from diagonal_train.streaming.config import lanes_of
from diagonal_train.streaming.index import SampleIndex
from diagonal_train.streaming.order import (
    OrderPlan,
    plan_order,
    positions_for_batch,
    samples_at,
    uniforms_at,
)


def index_of(shards: list[int], *, sources: list[int] | None = None) -> SampleIndex:
    """An index of shards with so many kept samples; `sources` has the shards of each source."""
    total = sum(shards)
    ends = np.cumsum(shards)[np.cumsum(sources or [len(shards)]) - 1]
    return SampleIndex(
        shards=[],
        shard=np.repeat(np.arange(len(shards), dtype=np.int32), shards),
        repetition=np.zeros(total, np.int32),
        offset=np.zeros(total, np.int64),
        length=np.zeros(total, np.int64),
        source_ends=ends,
        digest="",
    )


def plan_of(shards: list[int], *, lanes: int, window: int, batch: int, **more: Any) -> OrderPlan:
    index = index_of(shards, sources=more.pop("sources", None))
    seed = more.pop("seed", 0)
    return plan_order(index, lanes=lanes, window=window, global_batch_size=batch, seed=seed, **more)


def batch_samples(plan: OrderPlan, batch: int, lanes: range | None = None) -> list[int]:
    lanes = range(plan.lanes) if lanes is None else lanes
    return samples_at(plan, positions_for_batch(plan, batch, lanes))[0].tolist()


def passes(plan: OrderPlan, count: int) -> np.ndarray:
    """Sample numbers of so many passes of the flat stream, a row per pass."""
    positions = np.arange(count * plan.num_samples)
    return samples_at(plan, positions)[0].reshape(count, -1)


@pytest.mark.parametrize(
    ("shards", "lanes", "window", "batch"),
    [([96], 8, 4, 16), ([40, 30, 26], 8, 1, 16), ([50, 46], 4, 8, 8), ([33, 31], 4, 4, 16)],
)
def test_every_sample_comes_once_per_pass(
    shards: list[int], lanes: int, window: int, batch: int
) -> None:
    plan = plan_of(shards, lanes=lanes, window=window, batch=batch)
    total = sum(shards)
    seen: list[int] = []
    for step in range(3 * total // batch):
        seen += batch_samples(plan, step)
        if len(seen) % total == 0:
            assert set(np.bincount(seen, minlength=total)) == {len(seen) // total}
    assert len(seen) == 3 * total


def test_passes_that_end_inside_a_round_differ_by_at_most_one() -> None:
    plan = plan_of([37, 23], lanes=4, window=5, batch=20)
    seen = [s for step in range(17) for s in batch_samples(plan, step)]
    counts = np.bincount(seen, minlength=60)
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize(("ranks", "workers"), [(1, 1), (2, 1), (1, 4), (2, 2), (8, 1), (2, 4)])
def test_global_batches_do_not_depend_on_ranks_and_workers(ranks: int, workers: int) -> None:
    plan = plan_of([70, 58], lanes=8, window=4, batch=32)
    for step in (0, 1, 5):
        together: list[int] = []
        for rank in range(ranks):
            own = lanes_of(8, part=rank, parts=ranks)
            for worker in range(workers):
                part = lanes_of(len(own), part=worker, parts=workers)
                together += batch_samples(plan, step, own[part.start : part.stop])
        assert together == batch_samples(plan, step)


def test_order_is_a_function_of_seed_and_step_alone() -> None:
    plan = plan_of([64, 64], lanes=8, window=4, batch=16)
    again = plan_of([64, 64], lanes=8, window=4, batch=16)
    assert batch_samples(again, 9) == batch_samples(plan, 9)
    other = plan_of([64, 64], lanes=8, window=4, batch=16, seed=1)
    assert batch_samples(other, 9) != batch_samples(plan, 9)


def test_passes_come_in_different_orders() -> None:
    plan = plan_of([64], lanes=4, window=2, batch=64)
    assert batch_samples(plan, 0) != batch_samples(plan, 1)


def test_neighbours_in_a_shard_are_spread_over_batches() -> None:
    plan = plan_of([4096], lanes=16, window=64, batch=64)
    first = batch_samples(plan, 0)
    windows = {sample // 64 for sample in first}
    assert len(windows) == 16
    assert np.corrcoef(np.arange(64), first)[0, 1] < 0.5


def test_windows_end_with_their_repetition_and_source() -> None:
    index = index_of([5, 3, 2], sources=[2, 1])
    index.repetition[4:] = 1
    plan = plan_order(index, lanes=1, window=3, global_batch_size=2, seed=0)
    spans = list(zip(plan.window_start.tolist(), plan.window_length.tolist(), strict=True))
    assert spans == [(0, 3), (3, 1), (4, 3), (7, 1), (8, 2)]


def test_how_samples_are_sharded_changes_nothing() -> None:
    one = plan_of([40, 30, 26], lanes=4, window=8, batch=8)
    other = plan_of([96], lanes=4, window=8, batch=8)
    assert [batch_samples(one, b) for b in range(30)] == [
        batch_samples(other, b) for b in range(30)
    ]


def test_a_window_is_no_longer_than_a_lane_of_one_pass() -> None:
    assert plan_of([40], lanes=8, window=256, batch=8).window == 5


def test_readers_that_do_not_divide_the_lanes_are_named_with_what_fits() -> None:
    with pytest.raises(UserError, match=r"lanes 8; use 2 or 4 of them, or --stream.lanes 9"):
        lanes_of(8, part=0, parts=3)
    with pytest.raises(UserError, match=r"use 8 of them, or --stream.lanes 16"):
        lanes_of(8, part=0, parts=16)


def test_a_mixture_has_its_weights_in_every_pass() -> None:
    plan = plan_of([30, 20, 40], sources=[2, 1], lanes=2, window=4, batch=4, weights=(2.0, 0.5))
    assert plan.num_samples == 120
    for row in passes(plan, 6):
        counts = np.bincount(row, minlength=90)
        assert counts[:50].tolist() == [2] * 50
        assert counts[50:].max() <= 1
        assert counts[50:].sum() == 20


def test_samples_of_a_mixture_come_equally_often_over_passes() -> None:
    plan = plan_of([30, 41], sources=[1, 1], lanes=2, window=4, batch=4, weights=(1.3, 0.3))
    seen = np.zeros(71, np.int64)
    for number, row in enumerate(passes(plan, 25), start=1):
        seen += np.bincount(row, minlength=71)
        for samples, share in ((seen[:30], 39), (seen[30:], 12)):
            assert samples.sum() == number * share
            assert samples.max() - samples.min() <= 1


def test_sources_are_mixed_within_a_pass() -> None:
    plan = plan_of([64, 64], sources=[1, 1], lanes=2, window=4, batch=16)
    (row,) = passes(plan, 1)
    changes = np.count_nonzero(np.diff(row >= 64))
    assert changes > 8


def test_the_same_data_twice_are_two_sources() -> None:
    plan = plan_of([10, 10], sources=[1, 1], lanes=1, window=20, batch=1, weights=(1.0, 3.0))
    (row,) = passes(plan, 1)
    assert np.bincount(row).tolist() == [1] * 10 + [3] * 10


def test_with_replacement_passes_keep_their_length_and_repeat_windows() -> None:
    plan = plan_of([50, 14], lanes=2, window=4, batch=4, replacement=True)
    rows = passes(plan, 40)
    counts = np.array([np.bincount(row, minlength=64) for row in rows])
    assert counts.sum(axis=1).tolist() == [64] * 40
    assert counts.max() > 1
    assert counts.min() == 0
    assert abs(counts[:, :32].sum() / counts.sum() - 0.5) < 0.1


def test_uniforms_depend_on_seed_and_position_alone() -> None:
    positions = np.array([5, 2**40, 0])
    together = uniforms_at(3, positions, 7)
    assert np.array_equal(uniforms_at(3, positions[1:2], 7)[0], together[1])
    assert not np.array_equal(uniforms_at(4, positions, 7), together)


def test_uniforms_are_uniform_and_uncorrelated() -> None:
    drawn = uniforms_at(0, np.arange(20_000), 8)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    shares = np.histogram(drawn, bins=16, range=(0, 1))[0] / drawn.size
    assert np.abs(shares - 1 / 16).max() < 0.002
    correlations = np.corrcoef(drawn.T) - np.eye(8)
    assert np.abs(correlations).max() < 0.03
    neighbours = np.corrcoef(drawn[:-1, 0], drawn[1:, 0])[0, 1]
    assert abs(neighbours) < 0.03
