import json

import numpy as np
import pytest

from diagonal_eval.spread import paired_spread, spread_record


def test_the_spread_of_known_answers() -> None:
    correct_TN = np.zeros((3, 100), dtype=bool)
    correct_TN[0, :90] = correct_TN[1, :50] = correct_TN[2, :10] = True
    spread = paired_spread(correct_TN, ["good", "fair", "bad"], seed=0, resamples=200)
    assert (spread.best, spread.worst) == ("good", "bad")
    assert spread.spread == pytest.approx(0.8)
    assert spread.std == pytest.approx(0.4)
    assert spread.spread_interval[0] < 0.8 < spread.spread_interval[1]
    assert spread.std_interval[0] < 0.4 < spread.std_interval[1]
    assert spread.p == pytest.approx(1 / 201)


def test_the_same_answers_to_every_condition_have_no_spread() -> None:
    correct_TN = np.tile(np.arange(50) % 3 == 0, (4, 1))
    spread = paired_spread(correct_TN, list("abcd"), seed=0, resamples=50)
    assert spread.spread == spread.std == 0.0
    assert spread.spread_interval == (0.0, 0.0)
    assert spread.p == 1.0


def test_conditions_that_differ_by_chance_are_called_so() -> None:
    rng = np.random.default_rng(2)
    small = 0
    for trial in range(60):
        spread = paired_spread(rng.random((6, 80)) < 0.6, list("abcdef"), seed=trial, resamples=99)
        small += spread.p <= 0.05
        assert spread.by_chance > 0.05
    assert small <= 8


def test_many_pictures_give_what_shuffling_their_answers_gives() -> None:
    rng = np.random.default_rng(4)
    correct_TN = rng.random((5, 600)) < rng.random(600)
    correct_TN[:, :550] = rng.permuted(correct_TN[:, :550], axis=0)
    exact = [np.ptp(rng.permuted(correct_TN, axis=0).mean(axis=1)) for _ in range(1000)]
    several = np.concatenate([correct_TN] * 2, axis=1)
    few = paired_spread(correct_TN, list("abcde"), seed=0)
    many = paired_spread(several, list("abcde"), seed=0)
    assert few.by_chance == pytest.approx(np.mean(exact), rel=0.06)
    # Twice the pictures have the same spread, and by chance one that is smaller by the root of 2.
    assert many.spread == few.spread
    assert many.by_chance == pytest.approx(np.mean(exact) / np.sqrt(2), rel=0.06)


def test_one_condition_has_no_spread() -> None:
    for shape, templates in (((1, 5), ["a"]), ((2, 0), ["a", "b"]), ((2, 5), ["a"])):
        with pytest.raises(ValueError, match="no spread"):
            paired_spread(np.zeros(shape, dtype=bool), templates, seed=0)


def test_the_record_is_json_with_both_intervals() -> None:
    correct_TN = np.random.default_rng(0).random((3, 40)) < 0.5
    spread = paired_spread(correct_TN, ["a", "b", "c"], seed=0, resamples=50)
    record = json.loads(json.dumps(spread_record(spread), allow_nan=False))
    assert record["conditions"] == 3
    assert len(record["spread_ci95"]) == len(record["std_ci95"]) == 2
