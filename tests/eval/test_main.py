"""The whole command on the tiny dataset and a real, tiny run."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from diagonal_eval.__main__ import main
from diagonal_eval.config import EvalConfig
from diagonal_eval.recipes import EVAL
from diagonal_eval.report import add_stage_times
from diagonal_infra.cli import parse_recipe, run_command

SECTIONS = (
    "Zero-shot classification",
    "Accuracy by style",
    "Prompt templates",
    "Retrieval on held-out styles",
    "The diagonal",
    "Training loss",
    "Held-out drawings and first guesses",
    "Training samples",
    "Funnel",
    "Configuration",
)


TrainedOn = Callable[[str | None], str]


@pytest.fixture
def config(tiny_world: Any, trained_on: TrainedOn, tmp_path: Path) -> EvalConfig:
    return EvalConfig(
        checkpoint=trained_on("demo"),
        output=str(tmp_path / "eval"),
        data=tiny_world.dataset,
        labels=tiny_world.labels,
        templates=("{}", "a drawing of {}"),
        bootstrap_resamples=50,
        sheet_samples=100,
    )


def test_an_evaluation_writes_results_predictions_and_report(
    config: EvalConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    main(config)
    output = Path(config.output)
    results = json.loads((output / "results.json").read_text())
    assert results["checkpoint_step"] == 8
    assert results["held_out_in_keep_list"] == 0
    assert results["zeroshot"]["openmoji"]["n"] == 6
    assert sum(results["funnel"].values()) == 43
    rows = pq.read_table(output / "predictions.parquet")
    first = [row for row in rows.to_pylist() if row["prompt"] == "ensemble" and not row["rank"]]
    seen = [row for row in first if (row["style"], row["concepts"]) == ("openmoji", "seen")]
    assert len(seen) == round(results["zeroshot"]["openmoji"]["top1"] * 6)
    assert json.loads((output / "config.json").read_text())["config"]["seed"] == 0
    printed = capsys.readouterr().out
    assert "report.html" in printed
    assert "held-out" in printed


def test_a_run_trained_on_held_out_drawings_is_found_out(
    config: EvalConfig, trained_on: TrainedOn, caplog: pytest.LogCaptureFixture
) -> None:
    main(replace(config, checkpoint=trained_on(None)))
    results = json.loads(Path(config.output, "results.json").read_text())
    # 20 labels are held out by style or concept; each openmoji drawing is there twice.
    assert results["held_out_in_keep_list"] == 28
    assert results["funnel"] == {"timed_out": 2, "kept": 41}
    assert "leaked=28" in caplog.text


def test_a_run_whose_data_is_not_here_has_unknown_leaks(
    config: EvalConfig, tiny_run: str, caplog: pytest.LogCaptureFixture
) -> None:
    main(replace(config, checkpoint=tiny_run))
    results = json.loads(Path(config.output, "results.json").read_text())
    assert (results["held_out_in_keep_list"], results["funnel"]) == (None, None)
    assert "no dataset at 'nowhere'" in caplog.text
    page = Path(config.output, "report.html").read_text()
    assert "among the training samples: unknown" in page
    assert page.count("cannot be read here") == 2


def test_the_report_stands_alone_and_escapes_strangers_text(config: EvalConfig) -> None:
    main(config)
    page = Path(config.output, "report.html").read_text()
    for section in SECTIONS:
        assert f"<h2>{section}</h2>" in page
    references = re.findall(r"""(?:src|href|srcset|action|url)\s*[=(]\s*["']?([^"'\s>)]+)""", page)
    assert references
    assert all(reference.startswith("data:") for reference in references)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "default-src 'none'" in page
    assert page.count('class="right"') + page.count('class="wrong"') == 16


def test_a_second_run_takes_embeddings_from_the_cache(
    config: EvalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    main(config)
    first = json.loads(Path(config.output, "results.json").read_text())
    monkeypatch.setattr("diagonal_eval.demo_eval.embed_images", None)
    monkeypatch.setattr("diagonal_eval.demo_eval.embed_texts", None)
    main(config)
    second = json.loads(Path(config.output, "results.json").read_text())
    del first["wall_seconds"], second["wall_seconds"]
    assert first == second


def test_stage_times_are_put_into_the_report_once(config: EvalConfig) -> None:
    main(config)
    path = Path(config.output, "report.html")
    add_stage_times(str(path), {"train": 61.4}, {"train": 110.0})
    add_stage_times(str(path), {"train": 75.5, "eval": 4.5}, {"train": 140.0, "eval": 8.0})
    page = path.read_text()
    assert page.count("<h2>Time spent</h2>") == page.count("<h2>Configuration</h2>") == 1
    assert "75.5" in page
    assert "80.0" in page
    assert "61.4" not in page


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data", "nowhere"], "no dataset at 'nowhere'"),
        (["--labels", "nowhere.parquet"], "no labels at 'nowhere.parquet'"),
        (["--checkpoint", "nowhere"], "no run at 'nowhere'"),
        (["--output", "/dev/null/eval"], "cannot write to '/dev/null/eval'"),
    ],
)
def test_mistakes_end_in_one_line_and_exit_code_2(
    config: EvalConfig,
    flags: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = ["--data", config.data, "--labels", config.labels, "--output", config.output]
    words = ["diagonal_eval", "demo", *own, "--checkpoint", config.checkpoint, *flags]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        run_command(main, EVAL, description="")
    printed = capsys.readouterr().err
    assert ended.value.code == 2
    assert printed.startswith(f"error: {message}")
    assert printed.count("\n") == 1


def test_a_template_without_a_place_for_the_name_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_recipe(EVAL, description="", args=["demo", "--templates", "a photo"])
    assert ended.value.code == 2
    assert "--templates" in capsys.readouterr().err


def test_the_command_starts_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "diagonal_eval", "demo", "--data", "nowhere"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_recipes_build_and_name_every_flag() -> None:
    flags = {"checkpoint", "output", "data", "labels", "templates", "tasks", "batch_size"}
    flags |= {
        "seed",
        "bootstrap_resamples",
        "matrix_pairs",
        "sheet_samples",
        "metrics_port",
        "metrics_address",
    }
    assert set(vars(parse_recipe(EVAL, description="", args=["demo"]))) == flags
