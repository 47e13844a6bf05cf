"""Batches come in order, whatever happens, and waiting is counted."""

import threading
from collections.abc import Iterator

import pytest

from diagonal_eval.ahead import AHEAD, Ahead


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_all_items_come_prepared_in_order(batch_size: int) -> None:
    batches = list(Ahead(range(20), lambda number: number * number, batch_size))
    assert [number for batch in batches for number in batch] == [n * n for n in range(20)]
    assert all(len(batch) <= batch_size for batch in batches)


def test_batches_grow_to_their_size() -> None:
    sizes = [len(batch) for batch in Ahead(range(100), int, 16)]
    assert sizes == [2, 4, 8, 16, 16, 16, 16, 16, 6]


def test_nothing_is_no_batch() -> None:
    assert list(Ahead([], str, 4)) == []


def test_no_more_is_read_than_is_allowed_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    batches = iter(Ahead(items(), str, 5))
    next(batches)
    next(batches)
    # The two that came and those that are under way; the reader may not have got that far.
    assert len(taken) <= 5 * (2 + AHEAD)
    del batches


def test_the_next_batch_is_made_while_one_is_worked_on() -> None:
    second = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        second.set()
        yield 2

    for batch in Ahead(items(), int, 1):
        if batch == [1]:
            assert second.wait(timeout=30)


@pytest.mark.parametrize("where", ["reading", "preparing"])
def test_an_error_comes_out_where_the_batches_are_taken(where: str) -> None:
    def items() -> Iterator[int]:
        yield from range(6)
        if where == "reading":
            raise OSError("reading failed")

    def prepare(number: int) -> int:
        if where == "preparing" and number == 5:
            raise OSError("preparing failed")
        return number

    found: list[int] = []

    def work() -> None:
        for batch in Ahead(items(), prepare, 1):
            found.extend(batch)

    with pytest.raises(OSError, match=where):
        work()
    assert found == ([0, 1, 2, 3, 4] if where == "preparing" else [0, 1, 2, 3, 4, 5])


def test_what_is_waited_for_is_counted() -> None:
    is_open = threading.Event()
    opener = threading.Timer(0.2, is_open.set)
    opener.start()
    batches: Ahead[int, bool] = Ahead([1], lambda _: is_open.wait(30), 1)
    assert list(batches) == [[True]]
    assert batches.waited_seconds > 0.1
