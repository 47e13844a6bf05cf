import json
from pathlib import Path

import pytest

from diagonal_infra import storage
from diagonal_train.exporting.records import read_records, shown_address


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with two logged steps and an evaluation beside it."""
    run, evaluation = tmp_path / "a", tmp_path / "eval"
    run.mkdir()
    evaluation.mkdir()
    (run / "config.json").write_text('{"config": {"seed": 3}, "code_revision": "abc"}')
    lines = [json.dumps({"step": step, "loss": loss}) for step, loss in ((10, 2.0), (20, 1.0))]
    (run / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 3')
    (run / "summary.json").write_text('{"steps": 20, "device": "cpu"}')
    asked = {"config": {"checkpoint": "elsewhere/a/checkpoints/step-00000020"}}
    (evaluation / "config.json").write_text(json.dumps(asked))
    (evaluation / "results.json").write_text('{"checkpoint_step": 20, "zeroshot": {}}')
    return run


def test_all_that_the_run_wrote_about_its_last_step_is_read(run: Path) -> None:
    records = read_records(f"{run}/", 20)
    assert (records.name, records.code_revision, records.config) == ("a", "abc", {"seed": 3})
    assert records.metrics["loss"] == 1.0
    assert records.summary["device"] == "cpu"
    assert records.results["checkpoint_step"] == 20


def test_a_run_on_a_store_is_read_too(run: Path) -> None:
    for path in (*run.iterdir(), *run.with_name("eval").iterdir()):
        target = f"memory://records/{path.parent.name}/{path.name}"
        storage.write_bytes(target, path.read_bytes())
    assert read_records("memory://records/a", 20) == read_records(str(run), 20)


def test_what_was_recorded_of_another_step_says_nothing(run: Path) -> None:
    records = read_records(str(run), 15)
    assert records.metrics["step"] == 10
    assert (records.summary, records.results) == ({}, {})


def test_an_evaluation_of_another_run_says_nothing(run: Path) -> None:
    other = run.with_name("b")
    run.rename(other)
    assert read_records(str(other), 20).results == {}


def test_a_run_that_was_killed_has_fewer_records(run: Path) -> None:
    for name in ("summary.json", "metrics.jsonl"):
        (run / name).unlink()
    records = read_records(str(run), 20)
    assert (records.summary, records.metrics) == ({}, {})


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("out/{0..3}.tar", "out/{0..3}.tar"),
        ("s3://key:secret@bucket/x/*.tar", "s3://bucket/x/*.tar"),
        ("https://u@h/{0..3}.tar?sig=x&y=z::out/d", "https://h/{0..3}.tar::out/d"),
        ("out/part-?.tar", "out/part-?.tar"),
    ],
)
def test_keys_to_the_data_are_not_shown(address: str, shown: str) -> None:
    assert shown_address(address) == shown
