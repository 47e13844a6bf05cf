"""Balancing against the published rules, row by row."""

import numpy as np
import pytest

from diagonal_data.candidates.balance import (
    cap_rows,
    draw_rows,
    lots_of,
    p_to_t,
    probabilities,
    t_to_p,
    thresholds,
)
from diagonal_data.filters.draws import chance

DICE = np.random.default_rng(0)
ENTRIES, ROWS = 50, 20_000
# As in texts: a few entries are in most rows; none is in a row twice.
LISTS = [np.unique((ENTRIES * DICE.random(n) ** 3).astype(int)) for n in DICE.integers(0, 6, ROWS)]
LENGTHS = np.array([len(places) for places in LISTS])
OFFSETS, PLACES = np.concatenate([[0], np.cumsum(LENGTHS)]), np.concatenate(LISTS)
HALVES = DICE.integers(0, 2**63, (ROWS, 2)).astype(np.uint64)
COUNTS = np.bincount(PLACES, minlength=ENTRIES)


def test_a_row_stays_if_one_of_its_entries_wins() -> None:
    chances = probabilities(COUNTS, np.full(ENTRIES, 200))
    drawn = draw_rows(HALVES, OFFSETS, PLACES, chances, seed=3)
    for row in range(0, ROWS, 97):
        places = LISTS[row]
        lots = chance(lots_of(np.repeat(HALVES[row : row + 1], len(places), 0), places, 3))
        assert drawn.stays[row] == any(lots < np.minimum(1, 200 / COUNTS[places]))
        assert drawn.keep_p[row] == pytest.approx(
            1 - np.prod(1 - np.minimum(1, 200 / COUNTS[places])), abs=1e-6
        )


def test_as_many_rows_stay_as_their_probabilities_say() -> None:
    chances = probabilities(COUNTS, np.full(ENTRIES, 200))
    drawn = draw_rows(HALVES, OFFSETS, PLACES, chances, seed=0)
    expected = drawn.keep_p.sum(dtype=np.float64)
    deviation = np.sqrt((drawn.keep_p * (1 - drawn.keep_p)).sum(dtype=np.float64))
    assert abs(drawn.stays.sum() - expected) < 4 * deviation
    assert expected < ROWS / 2


def test_a_larger_t_keeps_all_that_a_smaller_one_keeps() -> None:
    few, many = (
        draw_rows(HALVES, OFFSETS, PLACES, probabilities(COUNTS, np.full(ENTRIES, t)), seed=0)
        for t in (50, 500)
    )
    assert (many.stays | ~few.stays).all()
    assert many.stays.sum() > few.stays.sum()


def test_order_does_not_matter_and_the_seed_does() -> None:
    chances = probabilities(COUNTS, np.full(ENTRIES, 100))
    drawn = draw_rows(HALVES, OFFSETS, PLACES, chances, seed=0)
    order = np.arange(ROWS)[::-1]
    offsets = np.concatenate([[0], np.cumsum(LENGTHS[order])])
    turned = draw_rows(HALVES[order], offsets, np.concatenate(LISTS[::-1]), chances, seed=0)
    assert (turned.stays[order] == drawn.stays).all()
    other = draw_rows(HALVES, OFFSETS, PLACES, chances, seed=1)
    assert (other.stays != drawn.stays).any()


def test_under_the_cap_each_entry_keeps_its_lowest_lots() -> None:
    t, seed = 100, 5
    owners = np.repeat(np.arange(ROWS), LENGTHS)
    lots = lots_of(HALVES[owners], PLACES, seed)
    highest = np.full(ENTRIES, 2**64 - 1, np.uint64)
    stay: set[int] = set()
    for place in range(ENTRIES):
        ours = np.flatnonzero(place == PLACES)
        lowest = ours[np.argsort(lots[ours])[:t]]
        stay |= set(owners[lowest].tolist())
        if len(ours) > t:
            highest[place] = lots[lowest].max()
    chances = probabilities(COUNTS, np.full(ENTRIES, t))
    drawn = cap_rows(HALVES, OFFSETS, PLACES, chances, highest, seed)
    assert set(np.flatnonzero(drawn.stays).tolist()) == stay


def test_t_and_p_are_metaclips() -> None:
    counts = np.array([1, 2, 3, 4, 90])
    assert t_to_p(counts, 5) == 0.10
    assert t_to_p(counts, 1) == 0
    assert p_to_t(counts, 0.10) == 4
    assert p_to_t(counts, 0.05) == 3
    assert p_to_t(counts, 1.0) == 90
    assert t_to_p(np.zeros(3), 5) == 0
    assert p_to_t(np.zeros(3), 0.5) == 1


def test_other_languages_get_the_t_of_the_same_share() -> None:
    counts = np.array([10, 90, 1, 9, 90, 5])
    sets = {"de": range(2), "en": range(2, 5), "xx": range(5, 6)}
    limits = thresholds(counts, sets, 20, per_language=True)
    assert limits.tolist() == [10, 10, 20, 20, 20, 5]
    assert thresholds(counts, sets, 20, per_language=False).tolist() == [20] * 6
    without_english = {"de": range(2), "fr": range(2, 6)}
    assert thresholds(counts, without_english, 20, per_language=True)[2:].tolist() == [20] * 4
