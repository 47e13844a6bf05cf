import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from diagonal_infra import log, run_dir, tally
from diagonal_infra.cli import run_command
from diagonal_infra.metrics_server import MetricsConfig
from diagonal_infra.stage_metrics import serving_stage

Ports = Callable[[], int]


@dataclass(frozen=True, kw_only=True)
class Config(MetricsConfig):
    output: str = "out"
    """Where results go."""


def served(port: int) -> list[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return answer.read().decode().splitlines()


def test_a_command_with_the_flag_is_served_while_it_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free_port: Ports
) -> None:
    port, seen = free_port(), []

    def main(config: Config) -> None:
        with log.progress() as bar:
            for unit in bar.track(range(2), description="reading"):
                tally.now().add_items("pages", {"read": 5})
                tally.now().begin(unit)
                tally.now().end(unit, "finished")
        tally.now().add_model_seconds(4.0, 0.5)
        seen.extend(served(config.metrics_port))

    flags = ["--output", str(tmp_path), "--metrics-port", str(port)]
    monkeypatch.setattr(sys, "argv", ["command", "plain", *flags])
    run_command(main, {"plain": Config}, description="Reads.")
    stage = next(line for line in seen if line.startswith("diagonal_stage_given_up"))
    label = stage.partition("{")[2].partition("}")[0]
    assert label.startswith('stage="')
    for line in (
        f'diagonal_stage_units{{part="reading",{label}}} 2.0',
        f'diagonal_stage_done_units_total{{part="reading",{label}}} 2.0',
        f'diagonal_stage_tries_total{{outcome="finished",{label}}} 2.0',
        f'diagonal_stage_tries_total{{outcome="lost",{label}}} 0.0',
        f'diagonal_stage_items_total{{kind="pages",outcome="read",{label}}} 10.0',
        f"diagonal_stage_given_up_units_total{{{label}}} 0.0",
        f"diagonal_stage_longest_unit_seconds{{{label}}} 0.0",
        f"diagonal_stage_model_seconds_total{{{label}}} 4.0",
        f"diagonal_stage_wait_seconds_total{{{label}}} 0.5",
    ):
        assert line in seen
    assert any(line.startswith(f'diagonal_disk_free_bytes{{folder="{tmp_path}"}}') for line in seen)
    with pytest.raises(OSError, match="refused"):
        served(port)


def test_a_taken_port_ends_the_command_before_it_begins(
    monkeypatch: pytest.MonkeyPatch, free_port: Ports, capsys: pytest.CaptureFixture[str]
) -> None:
    port, ran = free_port(), []
    monkeypatch.setattr(sys, "argv", ["command", "plain", "--metrics-port", str(port)])
    with serving_stage(Config(metrics_port=port), "other"), pytest.raises(SystemExit) as left:
        run_command(ran.append, {"plain": Config}, description="Reads.")
    assert left.value.code == 2
    assert "choose another --metrics-port" in capsys.readouterr().err
    assert not ran


def test_of_several_ranks_the_first_serves(
    monkeypatch: pytest.MonkeyPatch, free_port: Ports
) -> None:
    port = free_port()
    with serving_stage(Config(metrics_port=port), "eval"):
        monkeypatch.setenv("RANK", "1")
        with serving_stage(Config(metrics_port=port), "eval"):
            assert served(port)


def test_how_a_command_is_watched_is_no_part_of_its_record() -> None:
    """Else another port would make digests of settings, and all that hangs on them, new."""
    assert run_dir.resolved(Config(metrics_port=9000)) == {"output": "out"}
