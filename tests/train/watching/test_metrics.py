import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from diagonal_infra import log
from diagonal_train.config.train import TrainConfig
from diagonal_train.watching.metrics import Clock, MetricsLog, console, read_metrics

Read = Callable[[Path | str], list[dict[str, Any]]]
FIELDS = {
    "step",
    "samples_seen",
    "loss",
    "lr",
    "logit_scale",
    "grad_norm",
    "duplicate_captions",
    "skipped",
    "grad_norm_image",
    "grad_norm_text",
    "update_norm",
    "logit_positive_mean",
    "logit_positive_std",
    "logit_hardest_mean",
    "logit_hardest_std",
    "text_padding_share",
    "peak_memory_bytes",
    "samples_per_second",
    "data_wait_share",
    "seconds_step",
    "seconds_data",
    "seconds_prepare",
    "seconds_forward",
    "seconds_loss",
    "seconds_backward",
    "seconds_optimizer",
    "replaced",
    "wall_seconds",
}
RECORD = {"step": 50, "samples_seen": 800, "loss": 2.5, "samples_per_second": 80.0}


def logged_steps(path: Path) -> list[int]:
    return [line["step"] for line in read_metrics(str(path / "metrics.jsonl"))]


def test_going_on_drops_what_is_behind_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = [json.dumps({"step": step, "loss": 1.0, "wall_seconds": 40.0}) for step in (1, 2, 3)]
    path.write_text("\n".join(lines) + '\n{"step": 4, "lo')
    log = MetricsLog(str(tmp_path), from_step=2)
    log.write({"step": 3, "loss": 0.5})
    log.close()
    assert logged_steps(tmp_path) == [1, 2, 3]
    last = read_metrics(str(path))[2]
    assert last["loss"] == 0.5
    assert 40 < last["wall_seconds"] < 50


def test_a_loss_that_is_not_finite_is_null(tmp_path: Path) -> None:
    log = MetricsLog(str(tmp_path), from_step=0)
    log.write({"step": 1, "loss": float("nan"), "grad_norm": float("inf")})
    log.close()
    (line,) = read_metrics(str(tmp_path / "metrics.jsonl"))
    assert (line["loss"], line["grad_norm"]) == (None, None)


def test_a_full_disk_delays_lines_and_loses_none(
    small_disk: Path, fill: Callable[[Path], Path], caplog: pytest.LogCaptureFixture
) -> None:
    log = MetricsLog(str(small_disk), from_step=0)
    log.write({"step": 1})
    filler = fill(small_disk)
    for step in range(2, 202):
        log.write({"step": step})
    assert 0 < len(logged_steps(small_disk)) < 201
    filler.unlink()
    log.write({"step": 202})
    log.close()
    assert logged_steps(small_disk) == [*range(1, 203)]
    assert [text.split(":")[0] for text in caplog.messages] == [
        "metrics not written, lines are kept in memory"
    ]


def test_a_run_on_an_object_store_has_its_lines_at_each_save() -> None:
    log = MetricsLog("memory://seeing/run", from_step=0)
    path = "memory://seeing/run/metrics.jsonl"
    log.write({"step": 1})
    assert read_metrics(path) == []
    log.flush()
    log.write({"step": 2})
    assert [line["step"] for line in read_metrics(path)] == [1]
    log.close()
    again = MetricsLog("memory://seeing/run", from_step=1)
    again.write({"step": 2, "loss": 3.0})
    again.close()
    assert [line.get("loss") for line in read_metrics(path)] == [None, 3.0]


def test_rates_are_of_the_steps_since_the_last_record(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    clock = Clock(since=0.0)
    with clock.waiting():
        now[0] = 1.0
    clock.count(16, {"forward": 0.5})
    now[0] = 4.0
    clock.count(16, {"forward": 1.5})
    with clock.stopped():
        now[0] = 104.0
    expected = {
        "samples_per_second": 8.0,
        "data_wait_share": 0.25,
        "seconds_step": 2.0,
        "seconds_data": 0.5,
        "seconds_forward": 1.0,
    }
    assert clock.rates() == expected
    now[0] = 105.0
    clock.count(16, {})
    assert clock.rates()["samples_per_second"] == 16
    assert "seconds_forward" not in clock.rates()


def test_without_a_terminal_the_first_record_and_any_behind_a_silence_are_lines(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [7.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    caplog.set_level(logging.INFO)
    shown_at = []
    with console(show=True, total=100, completed=0) as shown:
        for step, seconds in enumerate([7.0, 8.0, 36.9, 37.0, 40.0], start=1):
            now[0] = seconds
            shown.record({**RECORD, "step": step, "data_wait_share": 0.1}, line=False)
            shown_at += [seconds] * len(caplog.messages)
            caplog.clear()
    assert shown_at == [7.0, 37.0]


def test_without_a_terminal_a_record_that_is_asked_for_is_a_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    with console(show=True, total=100, completed=0) as shown:
        shown.show(50, 2.5)
        shown.record({**RECORD, "data_wait_share": 0.125}, line=True)
    expected = "step=50/100 loss=2.5000 samples_per_second=80.0 data_wait_share=0.125 eta=0:00:10"
    assert caplog.messages == [expected]


def test_on_a_terminal_the_bar_has_loss_speed_and_wait(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(log.STDERR, "_force_terminal", True)
    with console(show=True, total=100, completed=0) as shown:
        shown.record({**RECORD, "data_wait_share": 0.125}, line=True)
        shown.show(50, 2.5)
        assert shown.bar is not None
        (task,) = shown.bar.tasks
        assert task.description == "train loss 2.500 · 80 samples/s · data wait 12%"
        assert task.completed == 50
    assert caplog.messages == []


def test_each_line_has_the_promised_fields(finished_run: TrainConfig, read_metrics: Read) -> None:
    lines = read_metrics(finished_run.run)
    assert [line["step"] for line in lines] == list(range(1, 21))
    assert {frozenset(line) for line in lines} == {frozenset(FIELDS)}
    assert [line["samples_seen"] for line in lines] == [16 * step for step in range(1, 21)]
    assert all(0 <= line["data_wait_share"] <= 1 for line in lines)
    assert all(line["seconds_data"] <= line["seconds_step"] for line in lines)


def test_tensorboard_events_are_written(finished_run: TrainConfig) -> None:
    events = list((Path(finished_run.run) / "tensorboard").glob("events.*"))
    assert len(events) == 1
    assert events[0].stat().st_size > 1000
