import dataclasses
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diagonal_eval.dataset import StoredSample, open_dataset, read_all_samples
from diagonal_eval.demo_tasks import Label, class_names_for, match_drawings, plan_tasks, read_labels
from diagonal_infra.errors import UserError


@pytest.fixture
def labels(tiny_world: Any) -> list[Label]:
    return read_labels(tiny_world.labels)


@pytest.fixture
def samples(tiny_world: Any) -> list[StoredSample]:
    return read_all_samples(open_dataset(tiny_world.dataset))


def test_each_drawing_is_evaluated_once_by_its_first_row(
    labels: list[Label], samples: list[StoredSample]
) -> None:
    drawings = match_drawings(labels, samples)
    names = [(drawing.truth.style, drawing.truth.hexcode) for drawing in drawings]
    assert len(names) == len(set(names)) == 32
    first = {sample.url: sample.uid for sample in reversed(samples)}
    assert all(drawing.sample.uid == first[drawing.truth.url] for drawing in drawings)


def test_tasks_split_styles_and_concepts(labels: list[Label], samples: list[StoredSample]) -> None:
    drawings = match_drawings(labels, samples)
    tasks = {(task.style, task.concepts): task for task in plan_tasks(labels, drawings)}
    assert list(tasks)[:2] == [("fluent-emoji-flat", "seen"), ("fluent-emoji-flat", "unseen")]
    assert len(tasks) == 8
    assert {key for key, task in tasks.items() if task.trained} == {
        ("noto", "seen"),
        ("twemoji", "seen"),
    }
    task = tasks["openmoji", "unseen"]
    assert task.class_names == ("dark square", "orange square")
    shown = [drawings[index].truth.label for index in task.drawings_N]
    assert shown == [task.class_names[right] for right in task.truth_N]


def test_classes_are_all_labels_even_if_not_fetched(
    labels: list[Label], samples: list[StoredSample]
) -> None:
    few = [sample for sample in samples if "openmoji/0" in sample.url]
    (task,) = plan_tasks(labels, match_drawings(labels, few))
    assert len(task.class_names) == len(class_names_for(labels, "seen")) == 6
    assert len(task.truth_N) == 1


def test_no_held_out_picture_is_a_user_error(
    labels: list[Label], samples: list[StoredSample]
) -> None:
    trained = [dataclasses.replace(label, held_out_style=False) for label in labels]
    with pytest.raises(UserError, match="held-out style"):
        match_drawings(trained, samples)


def test_bad_labels_are_user_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no labels at"):
        read_labels(str(tmp_path / "labels.parquet"))
    pq.write_table(pa.table({"url": ["a"]}), tmp_path / "labels.parquet")
    with pytest.raises(UserError, match="lacks the columns style, hexcode"):
        read_labels(str(tmp_path / "labels.parquet"))
