import dataclasses
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from diagonal_infra.errors import UserError
from diagonal_train.config.train import TrainConfig
from diagonal_train.report import ReportConfig, Run, curve, main, read_run, report_html

LINES = [
    {"step": step, "samples_seen": 16 * step, "wall_seconds": 2.0 * step, "loss": 3 / step}
    for step in range(1, 41)
]


def run(name: str = "a", lines: list[dict[str, Any]] = LINES, **settings: Any) -> Run:
    return Run(name=name, lines=lines, settings=settings)


class Tags(HTMLParser):
    """Collects what a page asks a browser to load or do."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.links += [str(value) for name, value in attrs if name in ("src", "href")]


def headings(page: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page)


def test_a_page_of_two_runs_draws_both_and_what_differs() -> None:
    page = report_html([run("a", lr=1e-3, seed=0), run("b", lr=2e-3, seed=0)])
    assert headings(page) == ["Runs", "What differs", "Loss"]
    assert page.count("<polyline") == 4
    assert "--lr" in page
    assert "--seed" not in page


def test_the_page_needs_nothing_and_is_the_same_again() -> None:
    page = report_html([run("<b>a</b>")])
    tags = Tags()
    tags.feed(page)
    assert tags.links == []
    assert not tags.names & {"script", "link", "img", "iframe"}
    assert "<b>a</b>" not in page
    assert page == report_html([run("<b>a</b>")])


def test_probes_and_stage_times_follow_the_known_curves() -> None:
    lines = [dict(line) for line in LINES]
    lines[9] |= {"probe_samples": 24, "probe_zeroshot_acc1": 0.5, "probe_seconds": 1.0}
    lines[19] |= {"probe_samples": 24, "probe_zeroshot_acc1": 0.75, "seconds_forward": 0.1}
    page = report_html([run(lines=lines)])
    assert headings(page) == [
        "Runs",
        "Loss",
        "Probe seconds",
        "Probe zeroshot acc1",
        "Seconds forward",
    ]


def test_what_is_not_finite_is_left_out_of_a_curve() -> None:
    odd = [{"step": 1, "loss": None}, {"step": 2, "loss": float("nan")}, {"step": 3, "loss": 1.0}]
    assert curve(run(lines=odd), "loss", "step") == ([3], [1.0])
    assert headings(report_html([run(lines=odd[:2])])) == ["Runs"]


def test_curves_are_drawn_over_samples_or_time() -> None:
    assert ">samples seen</text>" in report_html([run()], x="samples")
    assert ">seconds</text>" in report_html([run()], x="seconds")


def test_a_finished_run_is_drawn_by_the_command(finished_run: TrainConfig, tmp_path: Path) -> None:
    output = tmp_path / "report.html"
    words = [finished_run.run, finished_run.run, "--output", str(output), "--x", "seconds"]
    subprocess.run([sys.executable, "-m", "diagonal_train.report", *words], check=True)
    page = output.read_text()
    wanted = {
        "Loss",
        "Learning rate",
        "Samples per second",
        "Length of the gradient",
        "Logit scale",
    }
    assert wanted < set(headings(page))
    assert "the runs have the same settings" in page
    main(
        dataclasses.replace(
            ReportConfig(runs=(finished_run.run,) * 2), output=str(output), x="seconds"
        )
    )
    assert output.read_text() == page


def test_a_run_that_still_goes_can_be_read(tmp_path: Path) -> None:
    text = json.dumps(LINES[0]) + '\n{"step": 2, "lo'
    (tmp_path / "metrics.jsonl").write_text(text)
    assert read_run(str(tmp_path)).lines == [LINES[0]]


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no records at .*is it a run\?"):
        read_run(str(tmp_path))
