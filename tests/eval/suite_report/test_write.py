from pathlib import Path

import numpy as np
import pytest
from tests.eval.suite_report.folders import (
    CLASSES,
    HOSTILE,
    OVERRIDE,
    classification_record,
    full_folder,
    jpeg,
    picture,
    predictions,
    write_folder,
)

from diagonal_eval.suite_report.matrices import MOST_NAMED, confusion_matrix, matrix_picture
from diagonal_eval.suite_report.pictures import shown_confusions
from diagonal_eval.suite_report.predictions import predictions_path, read_predictions
from diagonal_eval.suite_report.provenance import model_name
from diagonal_eval.suite_report.record import read_tasks
from diagonal_eval.suite_report.write import write_suite_report
from diagonal_infra.errors import UserError

NAMES = ["report.html", "results.md", "results.csv", "results.tex", "README.md"]


def test_all_files_are_written_and_named(tmp_path: Path) -> None:
    folder, results = full_folder(tmp_path / "out")
    paths = write_suite_report(str(folder), results, picture=picture)
    assert paths == [f"{folder}/{name}" for name in NAMES]
    assert all(Path(path).stat().st_size for path in paths)
    assert "similarity" not in Path(paths[0]).read_text()


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    similarity = (CLASSES, np.full((5, 5), 0.5))
    texts = []
    for name in ("a", "b"):
        folder, results = full_folder(tmp_path / name / "out")
        paths = write_suite_report(str(folder), results, picture=picture, similarity=similarity)
        texts.append([Path(path).read_bytes() for path in paths])
    assert texts[0] == texts[1]


def test_no_name_becomes_markup_in_any_file(tmp_path: Path) -> None:
    folder, results = full_folder(tmp_path / "out")
    for path in write_suite_report(str(folder), results, picture=picture):
        text = Path(path).read_text()
        if path.endswith(("html", "results.md")):
            assert "<script" not in text
    body = (folder / "README.md").read_text().split("---\n", 2)[2]
    assert "<script" not in body


def test_results_without_any_task_give_a_report(tmp_path: Path) -> None:
    results = {"tasks": {}, "absent": {"cifar10": "make sets"}, "refused": {"x": "one class"}}
    paths = write_suite_report(str(tmp_path), results, picture=picture)
    assert "no task was measured" in Path(paths[0]).read_text()
    for name in ("cifar10", "one class"):
        assert all(name in Path(path).read_text() for path in (paths[0], paths[4]))


def test_names_that_have_no_bytes_are_written(tmp_path: Path) -> None:
    results = {"tasks": {"half\ud800": {"metrics": {"acc1": 0.5}}, OVERRIDE: {"metrics": {}}}}
    paths = write_suite_report(str(tmp_path), results, picture=picture)
    for path in paths[1:]:
        assert "\u202e" not in Path(path).read_text()


def test_a_damaged_table_of_predictions_is_named(tmp_path: Path) -> None:
    table = predictions(10, 0.5, 0)
    folder = write_folder(tmp_path, {"a/b:c": (classification_record(table), table)})
    path = Path(predictions_path(str(folder), "a/b:c"))
    assert path.name == "a_b_c.parquet"
    assert read_predictions(str(folder), "other") is None
    path.write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match=r"a_b_c\.parquet cannot be read"):
        read_predictions(str(folder), "a/b:c")


def test_the_confusion_matrix_has_the_shares_of_the_rows() -> None:
    table = predictions(500, 0.6, 3)
    counted = confusion_matrix(table)
    assert counted is not None
    names, shares_CC = counted
    assert names == sorted(CLASSES)
    in_order = confusion_matrix(table, ["nothing", *CLASSES])
    assert in_order is not None
    assert in_order[0] == list(CLASSES)
    np.testing.assert_allclose(shares_CC.sum(axis=1), 1)
    truth, guess = (table.column(name).to_pylist() for name in ("truth", "predicted"))
    both = sum(t == g == "cat" for t, g in zip(truth, guess, strict=True))
    place = names.index("cat")
    assert shares_CC[place, place] == both / truth.count("cat")


def test_many_classes_have_no_matrix_of_names() -> None:
    many = tuple(f"class {index}" for index in range(MOST_NAMED + 1))
    assert confusion_matrix(predictions(200, 0.5, 1, many)) is None
    picture_html = matrix_picture(
        many, np.eye(len(many)), alt=HOSTILE, low=0, high=1, shown="{:.1f}".format
    )
    assert picture_html.startswith("<img")
    assert "<script" not in picture_html


def test_nan_is_drawn_as_the_lowest() -> None:
    matrix_CC = np.array([[1.0, np.nan], [0.0, 1.0]])
    cells = matrix_picture(["a", "b"], matrix_CC, alt="", low=0, high=1, shown="{:.1f}".format)
    assert cells.count("rgb(13,8,40)") == 2


def test_thumbnails_are_small_and_end_where_the_bytes_do() -> None:
    confusions = [
        {"truth": "a", "predicted": "b", "count": 9 - i, "keys": ["k1", "k2"]} for i in range(9)
    ]
    tasks = read_tasks({"tasks": {"one": {"confusions": confusions}}})
    shown = shown_confusions(tasks, lambda task, key: jpeg())["one"]
    assert [s.confusion.count for s in shown] == list(range(9, 3, -1))
    assert all(p.source.startswith("data:image/jpeg") for s in shown for p in s.pictures)
    few = shown_confusions(tasks, lambda task, key: jpeg(), most_bytes=2000)["one"]
    sources = [p.source for s in few for p in s.pictures]
    assert 0 < sum(bool(source) for source in sources) < len(sources)


@pytest.mark.parametrize(
    ("checkpoint", "name"),
    [
        ("runs/a", "a"),
        ("s3://u:p@b/runs/a/checkpoints/step-00001000", "a"),
        ("open_clip:ViT-B-32", "open_clip:ViT-B-32"),
        ("", "unknown checkpoint"),
        (None, "unknown checkpoint"),
    ],
)
def test_a_model_is_called_as_its_run_is(checkpoint, name: str) -> None:
    assert model_name({"checkpoint": checkpoint}) == name
