"""Paging through the matches of a condition."""

from pathlib import Path

import pytest
from tests.data.filters.datasets import row, write_dataset

from diagonal_data.filters.match import Condition, Deadline
from diagonal_eval.explore import selection as selecting
from diagonal_eval.explore.selection import Selection
from diagonal_eval.explore.snapshot import Snapshot, read_snapshot


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    shards = [[row(10 * n + k, original_width=k) for k in range(4)] for n in range(9)]
    return read_snapshot(write_dataset(tmp_path, shards))


def selection(snapshot: Snapshot, where: str, sort: str = "", **given: bool) -> Selection:
    return Selection(condition=Condition(snapshot.dataset, where, sort), **given)


def test_pages_go_only_as_far_as_they_must_and_join_up(snapshot: Snapshot) -> None:
    chosen = selection(snapshot, "original_width > 1")
    first = chosen.page(snapshot, 0, 2, Deadline(60))
    assert (first.places, first.shards_done, first.is_complete) == ([2, 3], 1, False)
    second = chosen.page(snapshot, 2, 4, Deadline(60))
    assert (second.places, second.shards_done) == ([6, 7, 10, 11], 4)
    again = chosen.page(snapshot, 0, 2, Deadline(0))
    assert again.places == [2, 3]
    whole = chosen.page(snapshot, 0, 2, Deadline(60), whole=True)
    assert (whole.matches, whole.is_complete) == (18, True)


def test_sorted_pages_look_at_everything(snapshot: Snapshot) -> None:
    page = selection(snapshot, "true", "original_width").page(snapshot, 8, 3, Deadline(60))
    assert (page.values, page.places, page.is_complete) == ([3, 2, 2], [35, 2, 6], True)
    rising = selection(snapshot, "true", "original_width", descending=False)
    assert rising.page(snapshot, 0, 2, Deadline(60)).places == [0, 4]


def test_the_best_are_kept_of_more_matches_than_can_be(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selecting, "MOST_SORTED", 5)
    monkeypatch.setattr(selecting, "MOST_KEPT", 5)
    best = selection(snapshot, "true", "original_width").page(snapshot, 0, 9, Deadline(60))
    assert (best.places, best.matches) == ([3, 7, 11, 15, 19], 36)
    first = selection(snapshot, "true").page(snapshot, 0, 9, Deadline(60), whole=True)
    assert (first.places, first.matches) == ([0, 1, 2, 3, 4], 36)


def test_a_deadline_leaves_a_page_that_says_it_is_not_all(snapshot: Snapshot) -> None:
    page = selection(snapshot, "true").page(snapshot, 0, 5, Deadline(0))
    assert (page.places, page.matches, page.is_complete) == ([], 0, False)
