"""The ledger alone, with a clock of its own: lending, closing, fairness."""

import random
from collections.abc import Mapping

import pytest
from tests.data.ledgers import HOST, Clock, give_back, ledger_of, news, want

from diagonal_data.fetch_config import FetchConfig
from diagonal_data.host_ledger import (
    SILENCE_SECONDS,
    UNAVAILABLE_SECONDS,
    Ask,
    HostLedger,
    limits_of,
)
from diagonal_data.lent_slots import TURN_SECONDS
from diagonal_data.schema import Reason


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_no_more_slots_are_lent_than_the_host_has(clock: Clock) -> None:
    ledger = ledger_of(clock)
    assert want(ledger, "a", 10) == 4
    assert want(ledger, "b", 10) == 0
    give_back(ledger, "a", 1, 0.0, 0.0, 0.0)
    assert want(ledger, "b", 10) == 3, "what the other worker does not want"


def test_slots_come_back_with_the_time_from_which_they_may_be_used(clock: Clock) -> None:
    ledger = ledger_of(clock, max_per_host=2, max_per_second=4.0)
    assert limits_of(HOST, FetchConfig(max_per_host=2, max_per_second=4.0)).interval_seconds == 0.5
    assert want(ledger, "a", 2) == 2
    give_back(ledger, "a", 0, 0.3, 0.4)
    clock.now += 0.1
    granted = ledger.ask(Ask(worker="b", wanted={HOST: 2})).granted[HOST]
    assert sorted(granted) == pytest.approx([0.2, 0.3])


def test_who_waits_longest_is_served_first(clock: Clock) -> None:
    ledger = ledger_of(clock, max_per_host=1)
    assert want(ledger, "a", 1) == 1
    assert want(ledger, "b", 1) == 0
    assert want(ledger, "c", 1) == 0
    give_back(ledger, "a", 0, 0.0)
    assert want(ledger, "c", 1) == 0
    assert want(ledger, "b", 1) == 1


def test_a_worker_that_wants_no_more_does_not_stand_in_the_way(clock: Clock) -> None:
    ledger = ledger_of(clock, max_per_host=1)
    want(ledger, "a", 1)
    want(ledger, "b", 1)
    ledger.ask(Ask(worker="b"))
    give_back(ledger, "a", 0, 0.0)
    assert want(ledger, "c", 1) == 1


def test_who_holds_more_than_its_share_is_asked_to_return_some(clock: Clock) -> None:
    ledger = ledger_of(clock)
    want(ledger, "a", 4)
    assert ledger.ask(Ask(worker="a", held={HOST: 4})).recalled == {}
    want(ledger, "b", 4)
    assert ledger.ask(Ask(worker="a", held={HOST: 4})).recalled == {HOST: 2}


def test_slots_go_round_when_there_are_more_workers_than_slots(clock: Clock) -> None:
    ledger = ledger_of(clock, max_per_host=1)
    want(ledger, "a", 1)
    want(ledger, "b", 1)
    assert ledger.ask(Ask(worker="a", held={HOST: 1})).recalled == {}
    clock.now += TURN_SECONDS * 1.1
    assert ledger.ask(Ask(worker="a", held={HOST: 1})).recalled == {HOST: 1}


def test_the_slots_of_a_silent_worker_are_lent_again_and_not_too_early(clock: Clock) -> None:
    ledger = ledger_of(clock, timeout_seconds=20.0)
    want(ledger, "a", 4)
    clock.now += SILENCE_SECONDS + 19.0
    assert want(ledger, "b", 4) == 0
    clock.now += 2.0
    assert want(ledger, "b", 4) == 4


def test_a_new_ledger_believes_what_workers_hold(clock: Clock) -> None:
    ledger = ledger_of(clock)
    ledger.ask(Ask(worker="a", held={HOST: 3}))
    assert want(ledger, "b", 4) == 1


def test_a_grant_that_never_arrived_is_lent_again(clock: Clock) -> None:
    ledger = ledger_of(clock)
    want(ledger, "a", 4)
    ledger.ask(Ask(worker="a"))
    assert want(ledger, "b", 4) == 4


def test_a_worker_that_leaves_holds_nothing(clock: Clock) -> None:
    ledger = ledger_of(clock)
    want(ledger, "a", 4)
    ledger.leave("a")
    assert want(ledger, "b", 4) == 4


def test_failures_in_a_row_close_a_host_for_a_while(clock: Clock) -> None:
    ledger = ledger_of(clock, host_failures=3)
    assert not news(ledger, failures=2).closed
    assert not news(ledger, successes=1).closed
    assert not news(ledger, failures=2).closed
    closed = news(ledger, failures=1).closed[HOST]
    assert (closed.reason, closed.seconds) == (Reason.HOST_UNAVAILABLE, UNAVAILABLE_SECONDS)
    clock.now += UNAVAILABLE_SECONDS
    assert not news(ledger).closed
    assert news(ledger, failures=1).closed, "one more failure closes it again"


def test_opt_outs_close_a_host_for_good_also_those_of_earlier_runs(clock: Clock) -> None:
    config = FetchConfig(host_opt_outs=5)
    ledger = HostLedger(config, {HOST: 3}, clock=clock)
    assert not news(ledger, opt_outs=1).closed
    closed = news(ledger, opt_outs=1).closed[HOST]
    clock.now += 1e6
    assert closed.reason is Reason.HOST_OPTED_OUT
    assert ledger.ask(Ask(worker="b", wanted={HOST: 1})).closed
    assert ledger.ask(Ask(worker="b", wanted={HOST: 1})).granted == {}


def test_zero_turns_the_breakers_off(clock: Clock) -> None:
    ledger = ledger_of(clock, host_failures=0, host_opt_outs=0)
    assert not news(ledger, failures=10_000, opt_outs=10_000).closed


def test_a_pause_is_told_to_every_worker(clock: Clock) -> None:
    ledger = ledger_of(clock)
    want(ledger, "b", 1)
    news(ledger, pause_seconds=30.0)
    clock.now += 10.0
    assert ledger.ask(Ask(worker="b", held={HOST: 1})).paused == {HOST: pytest.approx(20.0)}


@pytest.mark.parametrize(
    ("host", "slots", "interval"),
    [
        ("pictures.test", 4, 0.8),
        ("127.0.0.9", 4, 0.0),
        ("localhost", 4, 0.0),
        ("::1", 4, 0.0),
        ("cdn.test", 32, 0.32),
        ("a.b.cdn.example", 32, 0.32),
        ("cdn.example", 4, 0.8),
    ],
)
def test_limits_of_hosts(host: str, slots: int, interval: float) -> None:
    config = FetchConfig(fast_hosts=("CDN.test", "*.cdn.example"))
    limits = limits_of(host, config)
    assert (limits.slots, limits.interval_seconds) == (slots, interval)


def test_the_limit_holds_whatever_workers_do(clock: Clock) -> None:
    """Random workers that borrow, return, fall silent and come back, for thousands of messages."""
    rng = random.Random(0)
    ledger = ledger_of(clock, max_per_host=3)
    held: dict[str, int] = {f"w{i}": 0 for i in range(6)}
    served = 0
    for _ in range(5_000):
        clock.now += rng.random() * 0.2
        worker = rng.choice(list(held))
        returned = [0.0] * rng.randint(0, held[worker])
        held[worker] -= len(returned)
        kept: Mapping[str, int] = {HOST: held[worker]} if held[worker] else {}
        ask = Ask(
            worker=worker, held=kept, wanted={HOST: rng.randint(1, 3)}, returned={HOST: returned}
        )
        granted = len(ledger.ask(ask).granted.get(HOST, ()))
        held[worker] += granted
        served += granted
        assert sum(held.values()) <= 3
    assert served > 500


class Crowd:
    """Workers that could always use all slots of HOST, and give back what they are asked for."""

    def __init__(self, clock: Clock, slots: int, workers: int) -> None:
        self.clock = clock
        self.slots = slots
        self.ledger = ledger_of(clock, max_per_host=slots)
        self.held = dict.fromkeys((f"w{i}" for i in range(workers)), 0)
        self.recalled = dict.fromkeys(self.held, 0)
        self.seconds = dict.fromkeys(self.held, 0.0)
        """Slots held by each worker, times seconds."""

    def round(self) -> None:
        """Every worker writes once; a twentieth of a second passes."""
        for worker in self.held:
            returned, self.recalled[worker] = self.recalled[worker], 0
            kept = self.held[worker] - returned
            answer = self.ledger.ask(
                Ask(
                    worker=worker,
                    held={HOST: kept} if kept else {},
                    wanted={HOST: self.slots - kept} if kept < self.slots else {},
                    returned={HOST: [0.0] * returned},
                )
            )
            self.held[worker] = kept + len(answer.granted.get(HOST, ()))
            self.recalled[worker] = answer.recalled.get(HOST, 0)
            assert self.in_use <= self.slots
        self.clock.now += 0.05
        for worker, held in self.held.items():
            self.seconds[worker] += held * 0.05

    @property
    def in_use(self) -> int:
        return sum(self.held.values())


@pytest.mark.parametrize(("slots", "workers"), [(4, 3), (8, 3), (32, 20), (1, 5), (3, 4)])
def test_all_slots_are_in_use_and_everybody_gets_its_part(
    clock: Clock, slots: int, workers: int
) -> None:
    crowd = Crowd(clock, slots, workers)
    for _ in range(5):
        crowd.round()
    assert crowd.in_use == slots
    rounds = 1200
    for _ in range(rounds):
        crowd.round()
    part = rounds * 0.05 * slots / workers
    assert sum(crowd.seconds.values()) > 0.9 * part * workers
    assert min(crowd.seconds.values()) > part / 2
    assert max(crowd.seconds.values()) < part * 2


def test_nothing_is_set_aside_for_a_worker_that_has_its_share(clock: Clock) -> None:
    ledger = ledger_of(clock)
    assert want(ledger, "a", 2) == 2
    assert want(ledger, "b", 2) == 2
    assert want(ledger, "a", 2, held=2) == 2
    give_back(ledger, "b", 0, 0.0, 0.0)
    assert want(ledger, "c", 2) == 2


def test_who_needs_little_leaves_the_rest_to_the_others(clock: Clock) -> None:
    ledger = ledger_of(clock, max_per_host=32)
    for number in range(9):
        assert want(ledger, f"w{number}", 1) == 1
    assert want(ledger, "a", 32) == 23
    assert want(ledger, "b", 32) == 0
    assert ledger.ask(Ask(worker="a", held={HOST: 23}, wanted={HOST: 9})).recalled == {HOST: 12}
