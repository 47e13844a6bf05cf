"""Prometheus' own tool reads our rules and configurations; dashboards have a sound structure."""

import json
import os
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "infra" / "observability"
DASHBOARDS = sorted((FOLDER / "dashboards").glob("*.json"))
REQUIRED = "DIAGONAL_NEEDS_PROMETHEUS"
needs_prometheus = pytest.mark.skipif(
    shutil.which("promtool") is None and REQUIRED not in os.environ,
    reason=f"needs Debian's package prometheus; {REQUIRED}=1 makes its absence a failure",
)


def promtool(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *words], cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False
    )


@needs_prometheus
@pytest.mark.parametrize("name", ["prometheus.yml", "prometheus-kubernetes.yml"])
def test_prometheus_takes_the_configuration_and_no_misspelt_one(name: str, tmp_path: Path) -> None:
    done = promtool("check", "config", name)
    assert done.returncode == 0, done.stderr
    wrong = tmp_path / name
    wrong.write_text((FOLDER / name).read_text().replace("job_name", "job_nam"))
    assert promtool("check", "config", str(wrong)).returncode != 0


@needs_prometheus
def test_alerts_fire_in_trouble_and_not_else() -> None:
    done = promtool("test", "rules", "rules_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
def test_an_alert_that_is_wrong_is_found(tmp_path: Path) -> None:
    rules = (FOLDER / "rules.yml").read_text()
    (tmp_path / "rules.yml").write_text(rules.replace("[10m]) > 0.05", "[10m]) > 0.5"))
    shutil.copy(FOLDER / "rules_test.yml", tmp_path)
    done = promtool("test", "rules", str(tmp_path / "rules_test.yml"))
    assert done.returncode != 0
    assert "alertname: DataWait" in done.stderr


def test_every_alert_is_tested_and_explained() -> None:
    groups = yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    tests = yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", [])]
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alerts
    explained = (FOLDER.parents[1] / "docs" / "watching.md").read_text()
    assert {alert for alert in alerts if f"| {alert} |" in explained} == alerts


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboards_panels_have_units_and_do_not_overlap(path: Path) -> None:
    board: dict[str, Any] = json.loads(path.read_text())
    variables = {variable["name"] for variable in board["templating"]["list"]}
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 5
    for panel in panels:
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["targets"]
        for target in panel["targets"]:
            used = target["expr"].replace("$__rate_interval", "")
            assert all(name.partition('"')[0] in variables for name in used.split("$")[1:])
    cells = [_cells(panel["gridPos"]) for panel in panels]
    assert not any(one & other for one, other in combinations(cells, 2))
    assert max(column for place in cells for column, _ in place) < 24


def _cells(place: dict[str, int]) -> set[tuple[int, int]]:
    columns = range(place["x"], place["x"] + place["w"])
    rows = range(place["y"], place["y"] + place["h"])
    return {(column, row) for column in columns for row in rows}
