"""The whole command on folders with planted differences."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Browser
from tests.eval.suite_report.folders import (
    HOSTILE,
    classification_record,
    multilabel,
    predictions,
    retrieval,
    retrieval_record,
    write_folder,
)

from diagonal_eval.compare.__main__ import main
from diagonal_eval.compare.config import CompareConfig
from diagonal_eval.compare.folders import read_folder
from diagonal_eval.compare.outcome import Comparison, compare
from diagonal_eval.metrics import average_precisions
from diagonal_eval.suite_report.predictions import predictions_path
from diagonal_infra.errors import UserError


def task(n: int, skill: float, seed: int) -> tuple[dict[str, Any], Any]:
    table = predictions(n, skill, seed)
    return classification_record(table), table


def voc(noise: float) -> tuple[dict[str, Any], Any]:
    table = multilabel(300, noise, 7)
    aps_C = average_precisions(
        np.array(table.column("scores").to_pylist()), np.array(table.column("truths").to_pylist())
    )
    record = classification_record(table, 4)
    return {
        **record,
        "kind": "multilabel",
        "metric": "map",
        "metrics": {"map": aps_C.mean()},
    }, table


def folders(tmp_path: Path, a: dict, b: dict) -> tuple[Path, Path]:
    return write_folder(tmp_path / "a", a), write_folder(tmp_path / "b", b)


def compared(tmp_path: Path, a: dict, b: dict, **more: Any) -> Comparison:
    first, second = folders(tmp_path, a, b)
    config = CompareConfig(a=str(first), b=str(second), **{"resamples": 500, **more})
    return compare(read_folder(str(first)), read_folder(str(second)), config)


def test_planted_differences_are_found_and_only_those(tmp_path: Path) -> None:
    queries = [retrieval(150, skill, 5) for skill in (0.7, 0.5)]
    found = compared(
        tmp_path,
        {
            "better": task(1000, 0.5, 1),
            "same": task(400, 0.5, 2),
            "worse": (retrieval_record(queries[0]), queries[0]),
            "map": voc(1.0),
        },
        {
            "map": voc(0.6),
            "worse": (retrieval_record(queries[1]), queries[1]),
            "same": task(400, 0.5, 2),
            "better": task(1000, 0.6, 1),
        },
    )
    assert {t.name: t.verdict for t in found.tasks} == {
        "better": "B is better",
        "same": "no difference shown",
        "worse": "B is worse",
        "map": "B is better",
    }
    assert {t.name: t.test for t in found.tasks}["map"] == "paired bootstrap"
    for t in found.tasks:
        assert t.interval[0] <= t.difference <= t.interval[1]
        assert t.note == ""
    assert found.overall.verdict.startswith(
        "B is better on 2 of 4 tasks, worse on 1, no difference shown on 1."
    )


def test_a_folder_and_itself_do_not_differ(tmp_path: Path) -> None:
    same = {"one": task(100, 0.5, 1), "two": voc(0.5)}
    found = compared(tmp_path, same, same)
    for t in found.tasks:
        assert (t.difference, t.interval, t.p, t.adjusted_p) == (0, (0, 0), 1, 1)
        assert t.changed.num_rows == 0
    assert (found.overall.difference, found.overall.interval) == (0, (0, 0))
    assert "no difference is shown" in found.overall.verdict


def test_equal_models_are_called_different_no_more_often_than_said(tmp_path: Path) -> None:
    """Two models of one skill that err independently, 60 times three tasks."""
    false_alarms, outside = 0, 0
    for trial in range(60):
        sides = [
            {str(i): task(150, 0.6, 1000 * trial + 10 * i + side) for i in range(3)}
            for side in (1, 2)
        ]
        found = compared(tmp_path / str(trial), *sides, resamples=200)
        false_alarms += any(t.verdict != "no difference shown" for t in found.tasks)
        outside += sum(not t.interval[0] <= 0 <= t.interval[1] for t in found.tasks)
    # 5 % of 60 and of 180; three and four standard deviations more.
    assert false_alarms <= 8
    assert 1 <= outside <= 21


def test_the_number_of_tasks_and_their_order_change_no_interval(tmp_path: Path) -> None:
    one, two = {"x": task(200, 0.5, 1)}, {"x": task(200, 0.55, 1)}
    alone = compared(tmp_path / "1", one, two).tasks[0]
    more = {"y": task(50, 0.5, 3)}
    beside = compared(tmp_path / "2", {**more, **one}, {**more, **two}).tasks[1]
    assert (alone.interval, alone.p) == (beside.interval, beside.p)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"set_digest": "f" * 32}, "set_digest differs"),
        ({"split": "train"}, "split differs: 'test' in A, 'train' in B"),
        ({"classes": 7}, "classes differs: 5 in A, 7 in B"),
        ({"metric": "acc5"}, "metric differs"),
        ({"metrics": {"acc1": float("nan")}}, "acc1 is no number in B"),
        ({"metrics": {"acc1": None}}, "acc1 is no number in B"),
    ],
)
def test_what_is_not_the_same_is_not_compared(tmp_path: Path, change: dict, reason: str) -> None:
    record, table = task(60, 0.5, 1)
    good = {"good": task(60, 0.5, 2)}
    found = compared(
        tmp_path, {"x": (record, table), **good}, {"x": ({**record, **change}, table), **good}
    )
    assert [t.name for t in found.tasks] == ["good"]
    assert reason in found.not_comparable["x"]


def test_damaged_predictions_are_named(tmp_path: Path) -> None:
    names = ("gone", "broken", "fewer", "twice", "truth", "empty", "good")
    sides = {name: task(60, 0.5, 1) for name in names}
    a, b = folders(tmp_path, sides, sides)
    table = sides["good"][1]
    Path(predictions_path(str(b), "gone")).unlink()
    Path(predictions_path(str(b), "broken")).write_bytes(b"no")
    pq.write_table(table.slice(1), predictions_path(str(b), "fewer"))
    pq.write_table(table.take([0, *range(59)]), predictions_path(str(b), "twice"))
    other = table.set_column(1, "truth", [["cat"] * 60])
    pq.write_table(other, predictions_path(str(b), "truth"))
    pq.write_table(table.slice(0, 0), predictions_path(str(b), "empty"))
    config = CompareConfig(a=str(a), b=str(b), resamples=100)
    found = compare(read_folder(str(a)), read_folder(str(b)), config)
    assert [t.name for t in found.tasks] == ["good"]
    for name, reason in {
        "gone": "gone.parquet is missing in B",
        "broken": "cannot be read",
        "fewer": "1 keys only in A, 0 only in B",
        "twice": "1 keys stand more than once in B",
        "truth": "the truth of 48 samples differs",
        "empty": "no prediction in B",
    }.items():
        assert reason in found.not_comparable[name]


@pytest.mark.parametrize("headline", ["mean_jaccard", "worst_group_acc1", "mean_per_class_recall"])
def test_a_headline_that_predictions_do_not_give_is_replaced_and_named(
    tmp_path: Path, headline: str
) -> None:
    sides = []
    for skill in (0.4, 0.6):
        record, table = task(300, skill, 1)
        sides.append({"x": ({**record, "metric": headline, "metrics": {headline: 0.99}}, table)})
    (found,) = compared(tmp_path, *sides).tasks
    assert found.metric == "correct"
    assert f"not {headline}" in found.note
    assert found.verdict == "B is better"


def test_folders_that_cannot_be_compared_are_a_users_mistake(tmp_path: Path) -> None:
    a, b = folders(tmp_path, {"x": task(10, 0.5, 1)}, {"y": task(10, 0.5, 1)})
    config = CompareConfig(a=str(a), b=str(b))
    with pytest.raises(UserError, match=r"no task is in both folders: .* has 'x', .* has 'y'"):
        compare(read_folder(str(a)), read_folder(str(b)), config)
    with pytest.raises(UserError, match=r"results\.json does not exist"):
        read_folder(str(tmp_path / "nothing"))
    (b / "results.json").write_text('{"zeroshot": {}}')
    with pytest.raises(UserError, match="no 'tasks': an older version wrote it"):
        read_folder(str(b))
    (b / "results.json").write_text("{")
    with pytest.raises(UserError, match="is no JSON"):
        read_folder(str(b))


def test_if_nothing_is_comparable_every_reason_is_said(tmp_path: Path) -> None:
    record, table = task(10, 0.5, 1)
    with pytest.raises(UserError, match="no common task can be compared: x: split differs"):
        compared(tmp_path, {"x": (record, table)}, {"x": ({**record, "split": "val"}, table)})


def test_the_command_writes_record_samples_and_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], browser: Browser
) -> None:
    a, b = folders(
        tmp_path,
        {HOSTILE: task(400, 0.5, 1), "only a": task(10, 0.5, 1), "half\x1b[31m": task(20, 0.5, 1)},
        {HOSTILE: task(400, 0.7, 1), "half\x1b[31m": task(20, 0.5, 1)},
    )
    outputs = [tmp_path / "first", tmp_path / "second"]
    for output in outputs:
        main(CompareConfig(a=str(a), b=str(b), output=str(output), resamples=200))
    files = ("compare.html", "compare.json", "changed.parquet")
    assert all((outputs[0] / f).read_bytes() == (outputs[1] / f).read_bytes() for f in files)
    printed = capsys.readouterr().out
    assert "only a: only in A" in printed
    assert "\x1b[31m" not in printed
    record = json.loads((outputs[0] / "compare.json").read_text())
    assert record["only_in_a"] == ["only a"]
    entry = record["tasks"][HOSTILE]
    assert entry["verdict"] == "B is better"
    assert entry["right_to_wrong"] == 0
    changed = pq.read_table(outputs[0] / "changed.parquet").to_pylist()
    assert len(changed) == entry["wrong_to_right"] > 40
    assert {row["change"] for row in changed} == {"wrong_to_right"}
    assert all(row["predicted_b"] == row["truth"] != row["predicted_a"] for row in changed)
    page = browser.new_page()
    trouble: list[str] = []
    page.on("console", lambda said: trouble.append(said.text))
    page.on("dialog", lambda dialog: trouble.append(dialog.message))
    page.goto((outputs[0] / "compare.html").as_uri())
    assert page.locator("#verdict").inner_text() == record["verdict"]
    assert page.locator("#differences circle").count() == 3
    assert page.locator("#changed tbody tr").count() == 12
    assert trouble == []
    page.close()


def test_without_an_output_nothing_is_written(tmp_path: Path) -> None:
    a, b = folders(tmp_path, {"x": task(30, 0.5, 1)}, {"x": task(30, 0.6, 1)})
    before = sorted(tmp_path.rglob("*"))
    main(CompareConfig(a=str(a), b=str(b), resamples=100))
    assert sorted(tmp_path.rglob("*")) == before
