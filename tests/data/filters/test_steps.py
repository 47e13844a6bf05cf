"""Caps, balancing, draws and weights: against plain loops, and independent of order and shards."""

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.data.filters.datasets import (
    kept_uids,
    pool_of,
    reasons_of,
    row,
    write_dataset,
    write_scores,
)

from diagonal_data.filters.config import Balance, Caps, Sample
from diagonal_data.filters.draws import chance, draw
from diagonal_data.filters.keep_list import halves_of, pack_uids
from diagonal_infra.errors import UserError

COUNT = 120
GOLDEN_LOTS = [14457039759727422150, 5689957876101795212, 10047063458337479865]
RNG = np.random.default_rng(0)
HOSTS = [f"h{n}.example" for n in RNG.zipf(1.5, COUNT) % 7]
CONCEPTS = [sorted(set(RNG.integers(0, 9, RNG.integers(0, 4)).tolist())) for _ in range(COUNT)]
VALUES = RNG.permutation(COUNT).astype(np.float32)
VALUES[::11] = np.nan
ROWS = [
    row(i, url=f"http://{HOSTS[i].upper()}:80/{i}?a=//b", caption=f"text {i % 5}")
    for i in range(COUNT)
]


def dataset_in(folder: Path, order: np.ndarray, cuts: list[int]) -> str:
    parts = [[ROWS[i] for i in part] for part in np.split(order, cuts)]
    dataset = write_dataset(folder, parts)
    write_scores(dataset, "clip/m", {"similarity": pa.array(VALUES[order])})
    write_scores(dataset, "text/t", {"concepts": [CONCEPTS[i] for i in order]})
    return dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> str:
    return dataset_in(tmp_path_factory.mktemp("a"), np.arange(COUNT), [50])


@pytest.fixture(scope="module")
def shuffled(tmp_path_factory) -> str:
    order = np.random.default_rng(1).permutation(COUNT)
    return dataset_in(tmp_path_factory.mktemp("b"), order, [13, 70, 71])


def test_the_best_of_each_host_stay(dataset: str) -> None:
    by_host = defaultdict(list)
    for i, host in enumerate(HOSTS):
        by_host[host].append((np.nan_to_num(VALUES[i], nan=-1), i))
    expected = {
        ROWS[i]["uid"]
        for members in by_host.values()
        for value, i in sorted(members, reverse=True)[:3]
        if value >= 0
    }
    pool = pool_of(dataset, cap=Caps(host=3, by="clip_similarity"))
    kept = kept_uids(pool)
    assert expected <= kept
    counts = Counter(HOSTS[i] for i in range(COUNT) if ROWS[i]["uid"] in kept)
    assert counts == {host: min(3, count) for host, count in Counter(HOSTS).items()}
    assert set(reasons_of(pool)) == {"", "over_host_cap"}


def test_a_sample_is_under_the_cap_of_any_of_its_concepts(dataset: str) -> None:
    lots = draw(0, halves_of(pack_uids([r["uid"] for r in ROWS])), "cap")
    holders = {c: [i for i in range(COUNT) if c in CONCEPTS[i]] for c in range(9)}
    first = {c: sorted(found, key=lambda i: lots[i])[:5] for c, found in holders.items()}
    expected = {
        ROWS[i]["uid"]
        for i in range(COUNT)
        if not CONCEPTS[i] or any(i in first[c] for c in CONCEPTS[i])
    }
    assert kept_uids(pool_of(dataset, cap=Caps(concept=5))) == expected
    assert 0 < len(expected) < COUNT


def test_captions_are_capped_or_dropped_altogether(dataset: str) -> None:
    capped = pool_of(dataset, cap=Caps(caption=4))
    assert Counter(reasons_of(capped)) == {"": 20, "over_caption_cap": COUNT - 20}
    dropped = pool_of(dataset, where=("caption <> 'text 1' OR length(url) > 999 OR width = 1",))
    assert len(kept_uids(dropped)) == COUNT - 24
    rule = Caps(frequent_caption=COUNT // 5)
    assert len(kept_uids(pool_of(dataset, cap=rule))) == COUNT
    rare = pool_of(dataset, cap=Caps(frequent_caption=COUNT // 5 - 1))
    assert set(reasons_of(rare)) == {"frequent_caption"}


def test_balancing_keeps_a_sample_if_any_entry_wins(dataset: str) -> None:
    halves = halves_of(pack_uids([r["uid"] for r in ROWS]))
    counts = Counter(entry for entries in CONCEPTS for entry in entries)
    expected = []
    for i, entries in enumerate(CONCEPTS):
        lots = [chance(draw(7, halves[i : i + 1], np.array([entry])))[0] for entry in entries]
        wins = [lot < 6 / counts[entry] for lot, entry in zip(lots, entries, strict=True)]
        expected.append("" if any(wins) else "balanced_away" if entries else "no_concept")
    pool = pool_of(dataset, balance=Balance(most=6), seed=7)
    assert reasons_of(pool) == expected
    assert set(expected) == {"", "balanced_away", "no_concept"}


def test_the_chance_of_a_draw_is_as_stated() -> None:
    halves = np.random.default_rng(0).integers(0, 2**63, (200_000, 2)).astype(np.uint64)
    lots = chance(draw(3, halves, "sample"))
    assert abs((lots < 0.3).mean() - 0.3) < 0.005
    again = chance(draw(4, halves, "sample"))
    assert abs(np.corrcoef(lots, again)[0, 1]) < 0.01
    entries = np.arange(200_000) % 3
    assert abs(np.corrcoef(lots, chance(draw(3, halves, entries)))[0, 1]) < 0.01
    assert lots.min() >= 0
    assert lots.max() < 1


def test_lots_stay_as_they_are_over_releases() -> None:
    uid = halves_of(pack_uids(["0123456789abcdef0011223344556677"]))
    found = [int(draw(1, uid, salt)[0]) for salt in ("cap", "sample", np.array([5]))]
    assert found == GOLDEN_LOTS


@pytest.mark.parametrize(
    "settings",
    [
        {"cap": Caps(host=2)},
        {"cap": Caps(concept=3, caption=9)},
        {"cap": Caps(host=3, by="clip_similarity")},
        {"balance": Balance(most=4)},
        {"sample": Sample(share=0.4)},
        {"sample": Sample(count=17)},
    ],
)
def test_neither_order_nor_shards_change_what_is_kept(
    dataset: str, shuffled: str, settings: dict
) -> None:
    first, second = (
        kept_uids(pool_of(dataset, **settings)),
        kept_uids(pool_of(shuffled, **settings)),
    )
    assert first == second
    assert 0 < len(first) < COUNT
    assert kept_uids(pool_of(dataset, seed=1, **settings)) != first or "by" in str(settings)


def test_a_sample_has_the_count_asked_for(dataset: str) -> None:
    assert len(kept_uids(pool_of(dataset, sample=Sample(count=17)))) == 17
    assert len(kept_uids(pool_of(dataset, sample=Sample(count=10**6)))) == COUNT
    share = kept_uids(pool_of(dataset, sample=Sample(share=0.4)))
    assert share < kept_uids(pool_of(dataset, sample=Sample(share=0.8)))


def test_weights_repeat_and_drop(dataset: str) -> None:
    weight = "CASE WHEN clip_similarity > 100 THEN 3 WHEN clip_similarity > 50 THEN 1 ELSE 0 END"
    pool = pool_of(dataset, weight=f"{weight} * (clip_similarity * 0 + 1)")
    expected = [0 if v != v or v <= 50 else 3 if v > 100 else 1 for v in VALUES]
    assert pool.times().tolist() == expected
    assert set(reasons_of(pool)) == {"", "no_weight", "no_weight_unknown"}
    halves = pool_of(dataset, weight="1.5")
    assert set(halves.times().tolist()) == {1, 2}
    with pytest.raises(UserError, match="--weight gives"):
        pool_of(dataset, weight="1e300")
