"""The zeroshot command on a tiny run: its files, what it cannot measure, ranks, following."""

import io
import json
import shutil
import subprocess
import sys
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.eval.conftest import COLOURS, jpeg

from diagonal_eval import features
from diagonal_eval.__main__ import main
from diagonal_eval.recipes import EVAL
from diagonal_eval.sets.config import SetsConfig
from diagonal_eval.suite.config import SuiteConfig
from diagonal_eval.weak_spots.config import WeakSpotConfig
from diagonal_infra.cli import run_command
from diagonal_infra.errors import UnitError, UserError

NAMES = tuple(COLOURS)
RANKS = Path(__file__).with_name("rank_suite.py")


def write_squares(folder: Path, labels: list[int], *, names: tuple[str, ...] = NAMES) -> str:
    """A webdataset of squares, each of another shade; its address."""
    (folder / "test").mkdir(parents=True)
    (folder / "test" / "nshards.txt").write_text("1")
    (folder / "classnames.txt").write_text("\n".join(names))
    (folder / "zeroshot_classification_templates.txt").write_text("{c}\na photo of a {c}")
    with tarfile.open(folder / "test" / "0.tar", "w") as tar:
        for number, label in enumerate(labels):
            red, green, blue = COLOURS[NAMES[number % len(NAMES)]]
            picture = jpeg((max(0, red - number), green, blue))
            for suffix, content in (("jpg", picture), ("cls", str(label).encode())):
                entry = tarfile.TarInfo(f"s{number:03d}.{suffix}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return f"wds:{folder}"


@pytest.fixture(name="config")
def config_fixture(tmp_path: Path, tiny_run: str) -> SuiteConfig:
    return SuiteConfig(
        checkpoint=tiny_run,
        tasks=(write_squares(tmp_path / "squares", [n % 8 for n in range(18)]),),
        output=str(tmp_path / "out"),
        sets=SetsConfig(root=str(tmp_path / "none"), cache=str(tmp_path / "cache")),
        weak=WeakSpotConfig(num_pictures=12, side=64),
        resamples=100,
    )


def test_results_predictions_tables_and_report_are_written(
    config: SuiteConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    main(replace(config, tasks=(*config.tasks, "weak/counting", "cifar10")))
    output = Path(config.output)
    results = json.loads((output / "results.json").read_text())
    task = results["tasks"][config.tasks[0]]
    assert task["n"] == 18
    low, high = task["ci95"]["acc1"]
    assert low <= task["metrics"]["acc1"] <= high
    assert set(task["per_template"]) == {"{}", "a photo of a {}"}
    assert 0 <= task["calibration"]["ece"] <= 1
    assert results["tasks"]["weak/counting"]["chance"] == pytest.approx(1 / 6)
    assert "cifar10" in results["absent"]["cifar10"]
    assert results["checkpoint_step"] == 8
    predictions = pq.read_table(next((output / "predictions").glob("wds*.parquet"))).to_pylist()
    assert sum(row["correct"] for row in predictions) / 18 == task["metrics"]["acc1"]
    names = {path.name for path in output.iterdir()}
    assert names >= {"report.html", "results.md", "results.csv", "results.tex", "README.md"}
    shown = capsys.readouterr().out
    assert "absent" in shown
    assert "report:" in shown


def test_a_set_that_is_refused_does_not_take_the_others_with_it(
    config: SuiteConfig, tmp_path: Path
) -> None:
    bad = write_squares(tmp_path / "bad", [9] * 4)
    with pytest.raises(UnitError, match="1 sets were refused: wds:"):
        main(replace(config, tasks=(bad, *config.tasks)))
    results = json.loads((Path(config.output) / "results.json").read_text())
    assert list(results["tasks"]) == list(config.tasks)
    assert "9" in results["refused"][bad]


def test_nothing_to_measure_is_the_users_mistake(
    config: SuiteConfig,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UserError, match=r"no task can be measured: .*cifar10"):
        main(replace(config, tasks=("cifar10",)))
    with pytest.raises(UserError, match="no probe 'weak/nothing'"):
        main(replace(config, tasks=("weak/nothing",)))
    monkeypatch.setattr("sys.argv", ["diagonal_eval", "zeroshot", "--tasks", "cifar9"])
    with pytest.raises(SystemExit) as left:
        run_command(main, EVAL, description="")
    assert left.value.code == 2
    assert "cifar10" in capsys.readouterr().err


def test_a_second_evaluation_reads_no_picture(
    config: SuiteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    main(config)
    first = (Path(config.output) / "results.json").read_bytes()
    monkeypatch.setattr(features.FeatureStore, "_encode", None)
    monkeypatch.setattr(features.FeatureStore, "_encode_texts", None)
    main(config)
    assert (Path(config.output) / "results.json").read_bytes() == first


def test_results_are_the_same_for_one_two_and_three_ranks(
    config: SuiteConfig, tmp_path: Path, tiny_run: str
) -> None:
    command = [sys.executable, str(RANKS), config.tasks[0], tiny_run, str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    found = []
    for world_size in (1, 2, 3):
        output = tmp_path / f"ranks-{world_size}"
        chunks = sorted(path.read_bytes() for path in output.glob("cache/*/0*.npz"))
        assert len(chunks) == 5
        predictions = next((output / "predictions").iterdir()).read_bytes()
        found.append(((output / "results.json").read_bytes(), predictions, chunks))
    assert found[0] == found[1] == found[2]


def test_checkpoints_are_evaluated_as_they_land(
    config: SuiteConfig, tmp_path: Path, tiny_run: str
) -> None:
    run = tmp_path / "run"
    late = "checkpoints/step-00000008"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("step-00000008"))
    following = replace(config, follow=str(run), poll_seconds=0.02)
    errors: list[BaseException] = []

    def follow() -> None:
        try:
            main(following)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=follow)
    thread.start()
    first = Path(config.output) / "step-00000000" / "results.json"
    while not first.exists() and thread.is_alive():
        thread.join(0.02)
    assert not (Path(config.output) / "step-00000008").exists()
    shutil.copytree(Path(tiny_run) / late, run / "aside")
    (run / "aside").rename(run / late)
    (run / "summary.json").write_text("{}")
    thread.join(timeout=120)
    assert not thread.is_alive()
    assert errors == []
    curve = json.loads((Path(config.output) / "curve.json").read_text())["steps"]
    assert [entry["step"] for entry in curve] == [0, 8]
    assert curve[1]["tasks"][config.tasks[0]]["metric"] == "acc1"
    assert "<svg" in (Path(config.output) / "curve.html").read_text()
    assert not list(Path(config.output).glob("step-*/cache"))


def test_following_what_is_no_run_is_the_users_mistake(config: SuiteConfig) -> None:
    with pytest.raises(UserError, match="is no run"):
        main(replace(config, follow="nowhere"))
