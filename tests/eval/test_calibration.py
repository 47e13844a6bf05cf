import json

import numpy as np
import pytest

from diagonal_eval.calibration import calibration_record, measure_calibration


def test_all_numbers_of_a_task_and_a_record_that_is_json() -> None:
    rng = np.random.default_rng(0)
    logits_NC = rng.normal(size=(200, 5)).astype(np.float32) * 3
    logits_NC[0] = np.nan
    truth_N = rng.integers(5, size=200)
    calibration = measure_calibration(logits_NC, truth_N, seed=0, resamples=50)
    assert calibration is not None
    record = json.loads(json.dumps(calibration_record(calibration), allow_nan=False))
    assert record["n"] == 199
    assert record["excluded"] == 1
    assert sum(one["n"] for one in record["bins"]) == 199
    weighted = sum(one["n"] * (one["accuracy"] or 0) for one in record["bins"]) / 199
    assert weighted == pytest.approx(record["acc1"])
    gaps = [
        one["n"] * abs(one["accuracy"] - one["confidence"]) for one in record["bins"] if one["n"]
    ]
    assert sum(gaps) / 199 == pytest.approx(record["ece"])
    assert record["temperature"]["ece_after"] < record["temperature"]["ece_before"]


def test_the_same_seed_gives_the_same_record() -> None:
    logits_NC, truth_N = np.random.default_rng(1).normal(size=(40, 3)), np.arange(40) % 3

    def record(seed: int) -> dict:
        return calibration_record(measure_calibration(logits_NC, truth_N, seed=seed, resamples=50))

    assert record(3) == record(3)
    assert record(3) != record(4)


@pytest.mark.parametrize(
    "logits_NC", [np.full((3, 2), np.nan), np.zeros((3, 1)), np.zeros((0, 2))], ids=str
)
def test_nothing_to_measure_is_said_and_no_number(logits_NC) -> None:
    truth_N = np.zeros(len(logits_NC), dtype=np.int64)
    calibration = measure_calibration(logits_NC, truth_N, seed=0)
    assert calibration is None
    record = calibration_record(calibration)
    assert record["n"] == 0
    assert record["ece"] is None
    assert "finite logits" in record["note"]
