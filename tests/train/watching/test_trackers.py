"""The clients are stand-ins for foreign packages, written to a folder of the import path."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from diagonal_infra.errors import UserError
from diagonal_train.config.logging import LoggingConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World
from diagonal_train.loop import train
from diagonal_train.watching.trackers import trackers_for

Build = Callable[..., TrainConfig]
WANDB = """
import json, pathlib
PATH = pathlib.Path(__file__).parent / "calls.jsonl"
def _put(name, value):
    with PATH.open("a") as file:
        file.write(json.dumps([name, value]) + "\\n")
class Run:
    def define_metric(self, name, step_metric):
        _put("define_metric", [name, step_metric])
    def log(self, values):
        _put("log", values)
    def finish(self):
        _put("finish", None)
def init(**settings):
    _put("init", settings)
    return Run()
"""
MLFLOW = """
import json, pathlib, types
PATH = pathlib.Path(__file__).parent / "calls.jsonl"
def _put(name, value):
    with PATH.open("a") as file:
        file.write(json.dumps([name, value]) + "\\n")
def set_tracking_uri(uri):
    _put("uri", uri)
def start_run(run_id, run_name):
    _put("start_run", [run_id, run_name])
    return types.SimpleNamespace(info=types.SimpleNamespace(run_id=run_id or "r1"))
def log_params(values):
    _put("log_params", values)
def log_metrics(values, step):
    _put("log_metrics", [values, step])
def end_run():
    _put("end_run", None)
"""
BROKEN = "def init(**settings):\n    raise ConnectionError('no network')\n"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """A function that puts a module on the import path; returns where its calls are written."""

    def put(name: str, source: str) -> Path:
        folder = tmp_path / "site"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(source)
        monkeypatch.syspath_prepend(str(folder))
        # The real one may be there.
        monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        return folder / "calls.jsonl"

    yield put
    for name in ("wandb", "mlflow"):
        sys.modules.pop(name, None)


def calls(path: Path, name: str) -> list[Any]:
    return [
        value for called, value in map(json.loads, path.read_text().splitlines()) if called == name
    ]


def feed(config: TrainConfig, *steps: int) -> None:
    trackers = trackers_for(config, 0)
    for step in steps:
        trackers.log({"step": step, "loss": 1.5, "grad_norm": None})
    trackers.close()


def test_wandb_gets_every_record_and_a_resumed_run_its_old_id(
    tiny: Build, install: Callable[..., Path]
) -> None:
    path = install("wandb", WANDB)
    config = tiny(logging=LoggingConfig(tensorboard=False, wandb="clip"))
    feed(config, 1, 2)
    feed(config, 2, 3)
    first, second = calls(path, "init")
    assert first["id"] == second["id"]
    assert (first["project"], first["resume"], first["name"]) == ("clip", "allow", "run")
    assert first["config"]["global_batch_size"] == 16
    assert calls(path, "log") == [{"step": step, "loss": 1.5} for step in (1, 2, 2, 3)]
    assert calls(path, "define_metric")[0] == ["*", "step"]
    assert len(calls(path, "finish")) == 2


def test_mlflow_gets_every_record_and_its_parameters_once(
    tiny: Build, install: Callable[..., Path]
) -> None:
    path = install("mlflow", MLFLOW)
    config = tiny(logging=LoggingConfig(tensorboard=False, mlflow="http://127.0.0.1:1"))
    feed(config, 1)
    feed(config, 2)
    assert calls(path, "uri")[0] == "http://127.0.0.1:1"
    assert calls(path, "start_run") == [[None, "run"], ["r1", "run"]]
    assert calls(path, "log_metrics") == [[{"loss": 1.5}, 1], [{"loss": 1.5}, 2]]
    (parameters,) = calls(path, "log_params")
    assert parameters["optimizer.lr"] == "0.002"


def test_a_tracker_that_fails_stops_no_training_and_is_reported_once(
    tiny: Build, install: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    install("wandb", BROKEN)
    config = tiny(logging=LoggingConfig(tensorboard=False, wandb="clip"), samples_seen=48)
    assert train(config, World()).finished
    assert caplog.text.count("tracker=wandb failed and is left out: ConnectionError") == 1


def test_a_tracker_that_fails_later_keeps_what_the_others_get(
    tiny: Build, install: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    install("wandb", WANDB.replace('_put("log", values)', "1 / 0"))
    path = install("mlflow", MLFLOW)
    feed(tiny(logging=LoggingConfig(tensorboard=False, wandb="p", mlflow="file:x")), 1, 2)
    assert caplog.text.count("tracker=wandb failed") == 1
    assert len(calls(path, "log_metrics")) == 2


@pytest.mark.parametrize(
    ("name", "config"),
    [("wandb", LoggingConfig(wandb="x")), ("mlflow", LoggingConfig(mlflow="x"))],
)
def test_a_missing_package_is_named_before_the_work_starts(
    tiny: Build, name: str, config: LoggingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UserError, match=f"--logging.{name} needs the package {name}"):
        train(tiny(logging=config, data="unread"), World())


def test_tensorboard_is_not_imported_before_it_is_fed() -> None:
    code = "import sys, diagonal_train.loop; print('tensorboard' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
