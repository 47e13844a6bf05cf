import pytest

from diagonal_infra import log, ray_cluster, tally
from diagonal_infra.errors import UnitError
from diagonal_infra.tally import Part, Tally


def test_a_bar_counts_under_its_first_description_while_it_runs_and_after() -> None:
    count = tally.begin_anew()
    for done in (3, 6):
        with log.progress() as bar:
            task = bar.add_task("shards", total=5, completed=1)
            bar.update(task, advance=2, description="shards img/s=3.1")
            assert count.parts()["shards"].done == done
    assert count.parts() == {"shards": Part(units=10, done=6)}


def test_each_thing_that_is_tracked_counts_at_once() -> None:
    count, done = tally.begin_anew(), []
    with log.progress() as bar:
        for _ in bar.track(range(3), description="shards"):
            done.append(count.parts()["shards"].done)
    assert done == [0, 1, 2]
    assert count.parts() == {"shards": Part(units=3, done=3)}


def test_a_bar_of_unknown_length_has_as_much_as_is_done() -> None:
    count = tally.begin_anew()
    with log.progress() as bar:
        bar.advance(bar.add_task("rows", total=None), 7)
    assert count.parts() == {"rows": Part(units=7, done=7)}


def test_a_bar_that_ends_late_is_not_counted_for_the_next_command() -> None:
    with log.progress() as bar:
        bar.add_task("old", total=1)
        count = tally.begin_anew()
    assert count.parts() == {}


def test_outcomes_add_up() -> None:
    count = Tally()
    count.add_items("pages", {"read": 2, "missing": 1})
    count.add_items("pages", {"read": 3})
    count.add_model_seconds(10.0, 1.0)
    count.add_model_seconds(5.0, 0.5)
    assert count.items == {("pages", "read"): 5, ("pages", "missing"): 1}
    assert (count.model_seconds, count.wait_seconds) == (15.0, 1.5)


def test_the_oldest_unit_under_way_and_the_median_of_finished_ones_are_known() -> None:
    count = Tally()
    assert count.longest_unit_seconds() == count.median_unit_seconds() == 0.0
    old, new = object(), object()
    count.begin(old)
    count.begin(new)
    with_both = count.longest_unit_seconds()
    count.end(new, "finished")
    assert 0 < count.median_unit_seconds() <= count.longest_unit_seconds()
    assert with_both <= count.longest_unit_seconds()
    median = count.median_unit_seconds()
    count.end(old, "lost")
    assert count.longest_unit_seconds() == 0.0
    assert count.median_unit_seconds() == median
    assert count.tries == {"finished": 1, "lost": 1}


def test_tries_and_units_given_up_are_counted_as_they_happen() -> None:
    count = tally.begin_anew()
    seen = []

    def work(unit: str, _: object) -> None:
        seen.append(dict(count.tries))
        if unit == "bad":
            raise RuntimeError("as asked for")

    with pytest.raises(UnitError):
        list(
            ray_cluster.map_unordered(
                work, ["good", "bad"], workers=1, local=True, deadline_seconds=60
            )
        )
    assert seen == [{}, {"finished": 1}, {"finished": 1, "failed": 1}, {"finished": 1, "failed": 2}]
    assert count.given_up_units == 1
