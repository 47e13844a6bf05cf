"""One condition over some shards at a time."""

from pathlib import Path

import numpy as np
import pytest
from tests.data.filters.datasets import failed, row, write_dataset, write_scores

from diagonal_data.filters.match import Condition, Deadline
from diagonal_infra.errors import UserError

SCORES = [0.1, 0.5, float("nan"), 0.3, 0.2, 0.9]
STARTS = {"00000000": 0, "00000001": 4, "00000002": 6}
NAMES = list(STARTS)


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    rows = [[row(1), failed(2), row(3), row(4)], [row(5), failed(6)], [row(7), row(8)]]
    folder = write_dataset(tmp_path, rows)
    write_scores(folder, "clip/m", {"similarity": SCORES})
    return folder


def places(condition: Condition) -> list[int]:
    found = condition.search(NAMES, STARTS, Deadline(60))
    return np.concatenate([part.places for part in found]).tolist()


def test_matches_are_places_in_the_order_of_the_dataset(dataset: str) -> None:
    # Places 1 and 5 are failed rows, place 3 has no score.
    assert places(Condition(dataset, "clip_similarity > 0.15")) == [2, 4, 6, 7]
    assert places(Condition(dataset, "host = 'a' and clip_similarity <= 0.2")) == [0, 6]
    assert places(Condition(dataset, "quantile(clip_similarity) > 0.6")) == [2, 7]
    assert places(Condition(dataset, "false")) == []


def test_values_to_sort_by_stand_beside_the_places(dataset: str) -> None:
    condition = Condition(dataset, "original_width > 0", "clip_similarity")
    parts = list(condition.search(NAMES, STARTS, Deadline(60)))
    values = np.concatenate([part.values for part in parts])
    np.testing.assert_array_equal(values, np.array(SCORES))


def test_groups_grow_and_a_search_may_go_on_where_it_stopped(dataset: str) -> None:
    condition = Condition(dataset, "true")
    parts = list(condition.search(NAMES, STARTS, Deadline(60)))
    assert [list(part.shards) for part in parts] == [NAMES[:1], NAMES[1:]]
    first = next(condition.search(NAMES, STARTS, Deadline(60)))
    rest = condition.search(NAMES[len(first.shards) :], STARTS, Deadline(60))
    assert first.places.tolist() + next(rest).places.tolist() == [0, 2, 3, 4]


def test_nothing_is_read_after_the_deadline(dataset: str) -> None:
    assert list(Condition(dataset, "true").search(NAMES, STARTS, Deadline(0))) == []


@pytest.mark.parametrize("sort", ["caption", "host", "nothing"])
def test_only_numbers_that_are_there_can_be_sorted_by(dataset: str, sort: str) -> None:
    with pytest.raises(UserError, match=sort):
        Condition(dataset, "true", sort)


def test_a_condition_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[row(n, caption=f"{n} word " * 150) for n in range(20_000)]])
    slow = Condition(dataset, "levenshtein(caption, url || caption) > 3")
    with pytest.raises(UserError, match="takes longer than 2 seconds"):
        list(slow.search(["00000000"], {"00000000": 0}, Deadline(2.0)))
