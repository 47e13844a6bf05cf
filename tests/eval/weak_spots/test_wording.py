import json

import numpy as np
import pytest

from diagonal_eval.weak_spots.wording import prompt_spread, spread_record


def test_the_spread_of_known_answers() -> None:
    correct_TN = np.zeros((3, 100), dtype=bool)
    correct_TN[0, :90] = correct_TN[1, :50] = correct_TN[2, :10] = True
    spread = prompt_spread(correct_TN, ["good", "fair", "bad"], seed=0, resamples=200)
    assert (spread.best, spread.worst) == ("good", "bad")
    assert spread.spread == pytest.approx(0.8)
    assert spread.std == pytest.approx(0.4)
    assert spread.spread_interval[0] < 0.8 < spread.spread_interval[1]
    assert spread.std_interval[0] < 0.4 < spread.std_interval[1]
    assert spread.p == pytest.approx(1 / 201)


def test_the_same_answers_to_every_wording_have_no_spread() -> None:
    correct_TN = np.tile(np.arange(50) % 3 == 0, (4, 1))
    spread = prompt_spread(correct_TN, list("abcd"), seed=0, resamples=50)
    assert spread.spread == spread.std == 0.0
    assert spread.spread_interval == (0.0, 0.0)
    assert spread.p == 1.0


def test_wordings_that_differ_by_chance_are_called_so() -> None:
    rng = np.random.default_rng(2)
    small = 0
    for trial in range(60):
        spread = prompt_spread(rng.random((6, 80)) < 0.6, list("abcdef"), seed=trial, resamples=99)
        small += spread.p <= 0.05
        assert spread.spread_by_chance > 0.05
    assert small <= 8


def test_one_template_has_no_spread() -> None:
    for shape, templates in (((1, 5), ["a"]), ((2, 0), ["a", "b"]), ((2, 5), ["a"])):
        with pytest.raises(ValueError, match="no spread"):
            prompt_spread(np.zeros(shape, dtype=bool), templates, seed=0)


def test_the_record_is_json_with_both_intervals() -> None:
    correct_TN = np.random.default_rng(0).random((3, 40)) < 0.5
    spread = prompt_spread(correct_TN, ["a", "b", "c"], seed=0, resamples=50)
    record = json.loads(json.dumps(spread_record(spread), allow_nan=False))
    assert record["templates"] == 3
    assert len(record["spread_ci95"]) == len(record["std_ci95"]) == 2
