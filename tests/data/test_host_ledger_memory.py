"""What the ledger forgets, and what it does when it is started anew."""

import pytest
from tests.data.ledgers import HOST, Clock, give_back, ledger_of, news, want

from diagonal_data.host_ledger import (
    FORGET_SECONDS,
    SETTLE_SECONDS,
    UNAVAILABLE_SECONDS,
    Ask,
    HostNews,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_host_with_nothing_to_remember_is_forgotten(clock: Clock) -> None:
    ledger = ledger_of(clock, max_per_second=4.0)
    hosts = [f"{number}.test" for number in range(100)]
    ledger.ask(Ask(worker="a", wanted=dict.fromkeys(hosts, 1)))
    told = {name: HostNews(successes=1) for name in hosts}
    ledger.ask(Ask(worker="a", returned={name: [0.5] for name in hosts}, news=told))
    assert ledger.num_hosts == 100
    clock.now += FORGET_SECONDS * 1.1
    ledger.ask(Ask(worker="a"))
    assert ledger.num_hosts == 0
    assert want(ledger, "b", 4) == 4


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(Ask(worker="a", held={HOST: 1}), id="held"),
        pytest.param(Ask(worker="a", returned={HOST: [100.0]}), id="usable-later"),
        pytest.param(Ask(worker="a", news={HOST: HostNews(failures=1)}), id="failing"),
        pytest.param(Ask(worker="a", news={HOST: HostNews(failures=99)}), id="closed"),
        pytest.param(Ask(worker="a", news={HOST: HostNews(opt_outs=1)}), id="opted-out"),
        pytest.param(Ask(worker="a", news={HOST: HostNews(pause_seconds=100.0)}), id="paused"),
    ],
)
def test_a_host_with_something_to_remember_is_kept(clock: Clock, ask: Ask) -> None:
    ledger = ledger_of(clock, timeout_seconds=100.0)
    ledger.ask(ask)
    clock.now += FORGET_SECONDS * 1.1
    ledger.ask(Ask(worker="b"))
    assert ledger.num_hosts == 1


def test_a_host_that_somebody_waits_for_is_kept_with_the_line(clock: Clock) -> None:
    ledger = ledger_of(clock, max_per_host=1, timeout_seconds=100.0)
    want(ledger, "a", 1)
    want(ledger, "b", 1)
    give_back(ledger, "a", 0, 0.0)
    clock.now += FORGET_SECONDS * 1.1
    assert want(ledger, "c", 1) == 0
    assert want(ledger, "b", 1) == 1


def test_workers_outlive_the_memory_of_hosts_they_once_asked_for(clock: Clock) -> None:
    ledger = ledger_of(clock, host_failures=1, timeout_seconds=200.0)
    assert news(ledger, failures=1).closed
    ledger.ask(Ask(worker="b", news={HOST: HostNews(successes=1)}))
    clock.now += UNAVAILABLE_SECONDS + FORGET_SECONDS
    ledger.ask(Ask(worker="b"))
    assert ledger.num_hosts == 0
    ledger.ask(Ask(worker="a"))
    ledger.leave("a")


def test_a_restarted_ledger_lends_nothing_before_all_have_said_what_they_hold(
    clock: Clock,
) -> None:
    ledger = ledger_of(clock)
    ledger.restarted()
    assert want(ledger, "b", 4) == 0
    clock.now += SETTLE_SECONDS * 0.9
    heard = ledger.ask(Ask(worker="a", held={HOST: 3}))
    assert heard.recalled == {}
    assert want(ledger, "b", 4) == 0
    clock.now += SETTLE_SECONDS * 0.2
    assert want(ledger, "b", 4) == 1


def test_a_restarted_ledger_knows_that_any_slot_may_just_have_been_used(clock: Clock) -> None:
    ledger = ledger_of(clock, max_per_host=2, max_per_second=0.1)
    ledger.restarted()
    clock.now += SETTLE_SECONDS
    granted = ledger.ask(Ask(worker="a", wanted={HOST: 2})).granted[HOST]
    assert granted == pytest.approx([20.0 - SETTLE_SECONDS] * 2)
