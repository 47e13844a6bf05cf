import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load
from tests.eval.conftest import COLOURS, jpeg

from diagonal_eval.probes.config import FineTuneConfig, ProbeConfig
from diagonal_eval.probes.run import run_fine_tune, run_probes
from diagonal_eval.sets.config import SetsConfig
from diagonal_infra.errors import UserError
from diagonal_train.config.optimizer import OptimizerConfig

NAMES = tuple(COLOURS)[:3]


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """An image folder with both splits."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 4)):
        for name in NAMES:
            place = tmp_path / "squares" / split / name
            place.mkdir(parents=True)
            for number in range(count):
                colour = np.clip(np.array(COLOURS[name]) + rng.normal(size=3) * 20, 0, 255)
                picture = jpeg(tuple(int(value) for value in colour))
                (place / f"{number}.jpg").write_bytes(picture)
    templates = tmp_path / "templates.txt"
    templates.write_text("a {}\n")
    return f"folder:{tmp_path / 'squares'}"


@pytest.fixture(autouse=True)
def colours(use_colour_encoder: Callable[[str], None]) -> None:
    use_colour_encoder("diagonal_eval.probes.run")


def sets(tmp_path: Path) -> SetsConfig:
    return SetsConfig(templates=str(tmp_path / "templates.txt"), cache=str(tmp_path / "cache"))


def test_probes_are_written_with_their_predictions(folder: str, tmp_path: Path) -> None:
    output = tmp_path / "out"
    absent = f"folder:{tmp_path / 'nowhere'}"
    config = ProbeConfig(
        checkpoint="a",
        tasks=(folder, absent),
        output=str(output),
        sets=sets(tmp_path),
        shots=(1, 2),
        seeds=2,
    )
    run_probes(config)
    results = json.loads((output / "results.json").read_text())
    task = results["tasks"][folder]
    assert task["metrics"]["acc1"] > 0.8
    assert task["n"] == 12
    assert [point["shots"] for point in task["few_shot"]] == [1, 2]
    assert list(results["absent"]) == [absent]
    assert results["checkpoint_step"] == 7
    report = (output / "report.html").read_text()
    assert 'id="few-shot"' in report
    assert f"| {task['metric']} |" in (output / "results.md").read_text()
    table = pq.read_table(next((output / "predictions").glob("*.parquet")))
    assert table.num_rows == 12


def test_nothing_to_probe_is_a_users_error(tmp_path: Path) -> None:
    config = ProbeConfig(checkpoint="a", tasks=("folder:/nowhere",), output=str(tmp_path))
    with pytest.raises(UserError, match="no set can be probed"):
        run_probes(config)


def test_fine_tuning_writes_the_curve_and_the_weights(folder: str, tmp_path: Path) -> None:
    output = tmp_path / "out"
    config = FineTuneConfig(
        checkpoint="a",
        task=folder,
        output=str(output),
        sets=sets(tmp_path),
        epochs=2,
        batch_size=8,
        optimizer=OptimizerConfig(lr=0.01),
    )
    run_fine_tune(config)
    results = json.loads((output / "results.json").read_text())
    assert len(results["curves"][folder]["acc1"]) == len(results["alphas"]) == 11
    assert len(results["losses"]) == 2
    page = (output / "report.html").read_text()
    assert page.count("<circle") == 11
    assert f"{100 * results['curves'][folder]['acc1'][-1]:.1f}" in page
    weights = load((output / "weights.safetensors").read_bytes())
    assert weights["head_CD"].shape == (3, 8)
