import json
import subprocess
import sys
from pathlib import Path

import pytest

QUICK = ["--cluster.workers", "1", "4", "--cluster.seconds", "20"]


def run_plan(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "diagonal_infra.plan", *args]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("recipe", ["clip-b32", "clip-l14-336"])
def test_a_plan_is_tables_and_a_page(recipe: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / "plan.html"
    done = run_plan(recipe, "--page", str(path), *QUICK)
    assert done.returncode == 0, done.stderr
    for word in ("candidates", "GPU-hours", "money for training", "measured:"):
        assert word in done.stdout
    assert "<svg" in path.read_text()


def test_a_plan_is_one_json_object_for_pipes() -> None:
    done = run_plan("clip-b32", "--json", "--page", "", *QUICK)
    plan = json.loads(done.stdout)
    assert {line["part"] for line in plan["lines"]} == {"scrape", "dataset", "training", "money"}
    assert [run["workers"] for run in plan["simulated"]] == [1, 4]


def test_a_wrong_flag_is_one_line_and_exit_code_2() -> None:
    done = run_plan("clip-b32", "--scrape.success-share", "2")
    assert done.returncode == 2
    assert "--scrape.success-share must be" in done.stderr
