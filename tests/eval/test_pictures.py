import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from diagonal_eval.dataset import open_dataset, read_all_samples
from diagonal_eval.demo_tasks import match_drawings, read_labels
from diagonal_eval.embed import Encoder
from diagonal_eval.pictures import draw, kept_sheet, pairs_for, read_loss_curve, similarity_matrices
from diagonal_eval.training_data import read_training_data


def test_the_loss_curve_survives_cut_lines_and_resumed_steps(tmp_path: Path) -> None:
    records = [
        {"step": 1, "samples_seen": 16, "loss": 3.0},
        {"step": 2, "samples_seen": 32, "loss": float("nan")},
        {"step": 3, "samples_seen": 48, "loss": 2.0},
        {"step": 3, "samples_seen": 48, "loss": 2.5},
        {"step": 4, "event": "saved"},
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records) + '{"step": 5, "los'
    (tmp_path / "metrics.jsonl").write_text(lines)
    points = read_loss_curve(str(tmp_path))
    assert [(point.step, point.loss) for point in points] == [(1, 3.0), (3, 2.5)]
    assert read_loss_curve(str(tmp_path / "nowhere")) == []


def test_matrices_show_the_same_pairs_and_the_diagonal_of_a_good_model(
    tiny_world: Any, colour_encoder: Encoder
) -> None:
    dataset = open_dataset(tiny_world.dataset)
    drawings = match_drawings(read_labels(tiny_world.labels), read_all_samples(dataset))
    matrices = similarity_matrices(
        dataset, drawings, before=colour_encoder, after=colour_encoder, count=64, seed=0
    )
    np.testing.assert_array_equal(matrices.before_NN, matrices.after_NN)
    assert matrices.after_NN.shape == (6, 6)
    assert matrices.after_NN.argmax(axis=1).tolist() == list(range(6))
    assert matrices.source == "fluent-emoji-flat"
    assert len({drawing.truth.label for drawing in pairs_for(drawings, 4, 0)}) == 4


def test_sheets_are_drawn_by_seed_from_kept_samples_only(
    trained_on: Callable[[str], str],
) -> None:
    training = read_training_data(trained_on("demo"))
    assert training is not None
    first, again, other = (kept_sheet(training, count=5, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    assert {picture.uid for picture in first} <= set(training.kept["uid"].to_pylist())
    assert all(picture.jpeg for picture in first)


def test_drawing_more_than_there_is_gives_all() -> None:
    assert draw(3, 10, 0) == [0, 1, 2]
    assert len(draw(100, 10, 0)) == 10
