import numpy as np

from diagonal_train.streaming.window import Runs, merged_runs


def test_samples_with_small_gaps_are_one_run() -> None:
    offsets, lengths = np.array([50, 0, 20, 100]), np.array([10, 10, 10, 5])
    assert merged_runs(offsets, lengths, max_gap=30) == Runs(begins=[0, 100], ends=[60, 105])
    assert merged_runs(offsets, lengths, max_gap=40) == Runs(begins=[0], ends=[105])
    assert merged_runs(offsets[:1], lengths[:1]) == Runs(begins=[50], ends=[60])


def test_a_sample_inside_another_ends_no_run() -> None:
    runs = merged_runs(np.array([0, 10, 60]), np.array([50, 10, 10]), max_gap=20)
    assert runs == Runs(begins=[0], ends=[70])
    assert runs.num_bytes == 70
