import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diagonal_train.config.train import TrainConfig
from diagonal_train.metrics import MetricsLog

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
    "samples_per_second",
    "data_wait_share",
    "replaced",
}


def test_going_on_drops_what_is_behind_the_checkpoint(tmp_path: Path, read_metrics: Read) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = [json.dumps({"step": step, "loss": 1.0}) for step in (1, 2, 3)]
    path.write_text("\n".join(lines) + '\n{"step": 4, "lo')
    log = MetricsLog(str(tmp_path), from_step=2)
    log.write({"step": 3, "loss": 0.5})
    log.close()
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2, 3]
    assert read_metrics(tmp_path)[2]["loss"] == 0.5


def test_each_line_has_the_promised_fields(finished_run: TrainConfig, read_metrics: Read) -> None:
    lines = read_metrics(finished_run.run)
    assert [line["step"] for line in lines] == list(range(1, 21))
    assert {frozenset(line) for line in lines} == {frozenset(FIELDS)}
    assert [line["samples_seen"] for line in lines] == [16 * step for step in range(1, 21)]
    assert all(0 <= line["data_wait_share"] <= 1 for line in lines)


def test_tensorboard_events_are_written(finished_run: TrainConfig) -> None:
    events = list((Path(finished_run.run) / "tensorboard").glob("events.*"))
    assert len(events) == 1
    assert events[0].stat().st_size > 1000
