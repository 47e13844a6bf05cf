import math

import pytest

from diagonal_train.config.recovery import RecoveryConfig
from diagonal_train.recovering.spikes import must_skip


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_never_applied_whether_loss_or_gradient(bad: float) -> None:
    config = RecoveryConfig()
    assert must_skip({}, config, loss=bad, grad_norm=1.0)
    assert must_skip({}, config, loss=1.0, grad_norm=bad)
    assert not must_skip({}, config, loss=1.0, grad_norm=1e30)


def test_a_spike_of_either_is_not_applied_if_that_is_asked_for() -> None:
    meters = {"history": {"loss": [1.0, 1.2] * 20, "grad_norm": [3.0, 3.2] * 20}}
    config = RecoveryConfig(spike_sigma=6)
    assert must_skip(meters, config, loss=9.0, grad_norm=3.1)
    assert must_skip(meters, config, loss=1.1, grad_norm=9.0)
    assert not must_skip(meters, config, loss=0.1, grad_norm=3.1), "a fall is no spike"
    assert not must_skip(meters, RecoveryConfig(), loss=9.0, grad_norm=9.0)
