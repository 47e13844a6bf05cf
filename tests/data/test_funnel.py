import pytest

from diagonal_data.funnel import EMPTY, Funnel


def test_a_funnel_that_does_not_add_up_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        Funnel(input=3, kept=1, reasons={"timed_out": 1})


def test_merging_adds_every_count() -> None:
    first = Funnel(input=3, kept=1, reasons={"timed_out": 2})
    second = Funnel(input=2, kept=0, reasons={"bad_url": 1, "timed_out": 1})
    merged = EMPTY.merge(first).merge(second)
    assert merged == Funnel(input=5, kept=1, reasons={"bad_url": 1, "timed_out": 3})


def test_the_table_shows_every_reason_and_the_total() -> None:
    table = Funnel(input=4, kept=1, reasons={"timed_out": 3}).as_table("funnel")
    assert list(table.columns[0].cells) == ["timed_out", "kept", "input"]
    assert list(table.columns[2].cells) == ["75.0%", "25.0%", "100.0%"]


def test_retried_rows_leave_their_reason_and_are_counted_once() -> None:
    first = Funnel(input=5, kept=1, reasons={"timed_out": 3, "bad_url": 1})
    again = Funnel(input=3, kept=1, reasons={"timed_out": 1, "not_found": 1})
    total = first.merge(again.without({"timed_out": 3}))
    assert total == Funnel(input=5, kept=2, reasons={"bad_url": 1, "not_found": 1, "timed_out": 1})
    rest = Funnel(input=1, kept=1).without({"timed_out": 1})
    assert "timed_out" not in total.merge(rest).reasons
