import pytest

from diagonal_data.fetch_config import FetchConfig
from diagonal_data.run_ledger import Attempt, RunLedger, SupersededError
from diagonal_infra.shared import Here


def test_the_last_attempt_that_began_may_write() -> None:
    ledger = Here(RunLedger(FetchConfig()))
    first, other = Attempt(ledger, "00000000"), Attempt(ledger, "00000001")
    first.require_turn()
    second = Attempt(ledger, "00000000")
    second.require_turn()
    other.require_turn()
    with pytest.raises(SupersededError, match="00000000"):
        first.require_turn()


def test_a_ledger_started_anew_lets_one_of_them_write() -> None:
    ledger = RunLedger(FetchConfig())
    assert ledger.may_write("00000000", "b")
    assert not ledger.may_write("00000000", "a")
    assert ledger.may_write("00000000", "b")
