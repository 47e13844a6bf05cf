"""Where records go besides metrics.jsonl: TensorBoard, Prometheus, Weights & Biases, MLflow.

One thread imports, opens and feeds them, begun by the first record: the import of TensorBoard takes
half a second, a login takes longer, and training waits for neither. Before the first record there
is no such thread, so that decoding processes are not forked amid an import. A tracker that fails is
reported once and left out; the run goes on without it.

    RUN/trackers.json    the run's id at each tracker, for when it goes on
"""

import importlib
import importlib.util
import json
import logging
import queue
import threading
import uuid
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any, Protocol

from diagonal_infra import metrics_server, run_dir, storage
from diagonal_infra.errors import UserError
from diagonal_train.config.compare import flatten
from diagonal_train.config.logging import LoggingConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.watching.prometheus import Prometheus

CLOSE_SECONDS = 60.0
"""Longest time that the end of a run waits for trackers."""
MAX_PARAMETER = 500
"""Characters of a parameter's value that every MLflow server takes."""
logger = logging.getLogger(__name__)


class Tracker(Protocol):
    """Takes records of a run."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add one record."""
        ...

    def close(self) -> None:
        """Send what is left."""
        ...


Open = Callable[[], Tracker]


class Trackers:
    """Passes records on to trackers, from a thread of its own."""

    def __init__(self, openers: Mapping[str, Open]) -> None:
        self._openers = openers
        self._records: queue.SimpleQueue[Mapping[str, float | None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def log(self, record: Mapping[str, float | None]) -> None:
        """Pass on a record; returns at once."""
        if self._thread is None and self._openers:
            self._thread = threading.Thread(target=self._work, name="trackers", daemon=True)
            self._thread.start()
        self._records.put(dict(record))

    def close(self) -> None:
        """Wait until all is sent, but not for ever."""
        if self._thread is not None:
            self._records.put(None)
            self._thread.join(CLOSE_SECONDS)
            if self._thread.is_alive():
                logger.warning("trackers do not end after %.0f s; left behind", CLOSE_SECONDS)

    def _work(self) -> None:
        opened: dict[str, Tracker] = {}
        for name, open_tracker in self._openers.items():
            _guarded(name, opened, lambda: opened.update({name: open_tracker()}))  # noqa: B023  # called at once
        while (record := self._records.get()) is not None:
            step = int(record["step"] or 0)
            values = {k: v for k, v in record.items() if v is not None and k != "step"}
            for name, tracker in list(opened.items()):
                _guarded(name, opened, lambda: tracker.log(step, values))  # noqa: B023  # called at once
        for name, tracker in list(opened.items()):
            _guarded(name, opened, tracker.close)


def _guarded(name: str, opened: dict[str, Tracker], call: Callable[[], object]) -> None:
    try:
        call()
    except Exception as error:
        # Whatever a foreign client raises, hours of training are worth more than its curves.
        logger.warning("tracker=%s failed and is left out: %r", name, error)
        opened.pop(name, None)


def trackers_for(config: TrainConfig, from_step: int) -> Trackers:
    """The trackers that a configuration names; nothing is imported or opened yet."""
    openers: dict[str, Open] = {}
    if config.logging.tensorboard and storage.local_path(config.run) is not None:
        openers["tensorboard"] = lambda: TensorBoard(config.run, from_step)
    if config.logging.metrics_port:
        openers["prometheus"] = lambda: Prometheus(config)
    if config.logging.wandb is not None:
        openers["wandb"] = lambda: Wandb(config)
    if config.logging.mlflow is not None:
        openers["mlflow"] = lambda: Mlflow(config)
    return Trackers(openers)


def check_trackers(config: LoggingConfig) -> None:
    """Find out before the work starts whether the packages are there and metrics can be served.

    Raises:
        UserError: they are not, or cannot.
    """
    metrics_server.check_free(config.metrics_port, config.metrics_address)
    for name in ("wandb", "mlflow"):
        if getattr(config, name) is not None and importlib.util.find_spec(name) is None:
            raise UserError(
                f"--logging.{name} needs the package {name}, which is not installed; "
                f"install it into the environment, or leave the flag out"
            )


class TensorBoard:
    """RUN/tensorboard."""

    def __init__(self, run: str, from_step: int) -> None:
        writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter
        # Events behind the checkpoint are hidden by TensorBoard from purge_step on.
        self._events = writer(storage.join(run, "tensorboard"), purge_step=from_step + 1)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add one record."""
        for name, value in values.items():
            self._events.add_scalar(name, value, step)

    def close(self) -> None:
        """Write out what is buffered."""
        self._events.close()


class Wandb:
    """A run on Weights & Biases."""

    def __init__(self, config: TrainConfig) -> None:
        wandb = importlib.import_module("wandb")
        # Kept before it is used: a run that is killed in between goes on under the same id.
        known = _run_id(config.run, "wandb") or _keep_run_id(config.run, "wandb", uuid.uuid4().hex)
        self._run = wandb.init(
            project=config.logging.wandb,
            id=known,
            name=PurePath(config.run).name,
            resume="allow",
            config=run_dir.resolved(config),
        )
        # Its own step counter refuses to go back to a checkpoint.
        self._run.define_metric("*", step_metric="step")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add one record."""
        self._run.log({"step": step, **values})

    def close(self) -> None:
        """Send what is left."""
        self._run.finish()


class Mlflow:
    """A run on an MLflow server."""

    def __init__(self, config: TrainConfig) -> None:
        self._mlflow = importlib.import_module("mlflow")
        self._mlflow.set_tracking_uri(config.logging.mlflow)
        known = _run_id(config.run, "mlflow")
        run = self._mlflow.start_run(run_id=known, run_name=PurePath(config.run).name)
        if known is None:
            _keep_run_id(config.run, "mlflow", run.info.run_id)
            flat = flatten(run_dir.resolved(config))
            # Those of a run that goes on are there, and refuse to change.
            self._mlflow.log_params({k: str(v)[:MAX_PARAMETER] for k, v in flat.items()})

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add one record."""
        self._mlflow.log_metrics(dict(values), step=step)

    def close(self) -> None:
        """Send what is left."""
        self._mlflow.end_run()


def _read_ids(run: str) -> dict[str, Any]:
    path = storage.join(run, "trackers.json")
    return json.loads(storage.read_bytes(path)) if storage.exists(path) else {}


def _run_id(run: str, tracker: str) -> str | None:
    return _read_ids(run).get(tracker)


def _keep_run_id(run: str, tracker: str, run_id: str) -> str:
    record = run_dir.to_json(_read_ids(run) | {tracker: run_id})
    storage.write_bytes(storage.join(run, "trackers.json"), record)
    return run_id
