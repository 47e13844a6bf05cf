"""The checkpoints of a run, evaluated as they land: how each task's number grows.

    OUTPUT/step-00001000/   what `evaluate` writes for that checkpoint
    OUTPUT/curve.json       {"steps": [{"step", "tasks": {NAME: {"metric", "value", "ci95"}}}]}
    OUTPUT/curve.html       the same, drawn

It ends when the run is finished and its last checkpoint evaluated. Started again, it evaluates what
is not evaluated yet. A checkpoint that the trainer deletes meanwhile is left out.
"""

import dataclasses
import json
import logging
import time
from html import escape
from typing import Any

import torch.distributed as dist

from diagonal_eval.suite.config import SuiteConfig
from diagonal_eval.suite.run import evaluate, headlines
from diagonal_infra import log, run_dir, storage
from diagonal_infra.charts import Series, line_chart
from diagonal_infra.errors import CheckpointError, UnitError, UserError
from diagonal_infra.html_page import html_page
from diagonal_train.checkpointing import manifest
from diagonal_train.distributed import World
from diagonal_train.start import summary_path

logger = logging.getLogger(__name__)


def follow(config: SuiteConfig, world: World) -> None:
    """Evaluate every checkpoint of `config.follow` until the run is finished.

    Raises:
        UserError: there is no such run, or no task can be measured.
        CheckpointError: a model is broken.
    """
    run = config.follow
    assert run is not None
    if not storage.exists(storage.join(run, "config.json")):
        raise UserError(f"{run!r} is no run (no config.json); start it first, then follow it")
    skipped: set[int] = set()
    while True:
        # Looked at before the checkpoints, so that none lands unseen between the two.
        finished = storage.exists(summary_path(run))
        new, finished = _agreed([_new_steps(config, run, skipped), finished], world)
        for step in new:
            if not evaluate_step(config, run, step, world):
                skipped.add(step)
        if world.is_main and new:
            write_curve(config.output)
        if finished and not new:
            return
        if not new:
            time.sleep(config.poll_seconds)


def evaluate_step(config: SuiteConfig, run: str, step: int, world: World) -> bool:
    """Whether the checkpoint of a step was still there."""
    output = storage.join(config.output, f"step-{step:08d}")
    cache = storage.join(output, "cache")
    place = manifest.place(run, step)
    try:
        evaluate(
            dataclasses.replace(config, checkpoint=place, output=output, cache=cache, follow=None),
            world,
        )
    except UnitError as error:
        logger.warning("step=%d %s", step, error)
    except (CheckpointError, UserError) as error:
        if manifest.has_manifest(run, step):
            raise
        logger.warning("checkpoint was deleted meanwhile step=%d error=%s", step, error)
        return False
    if world.is_main:
        # No other checkpoint has these weights.
        storage.delete_tree(cache)
    return True


def write_curve(output: str) -> None:
    """curve.json and curve.html out of all that is evaluated so far."""
    steps = [_summary(output, step) for step in _evaluated(output)]
    storage.write_bytes(storage.join(output, "curve.json"), run_dir.to_json({"steps": steps}))
    names = list(dict.fromkeys(name for entry in steps for name in entry["tasks"]))
    parts = ["<h1>Checkpoint by checkpoint</h1>"]
    for name in names:
        points = [
            (entry["step"], entry["tasks"][name]) for entry in steps if name in entry["tasks"]
        ]
        line = Series(xs=[step for step, _ in points], ys=[task["value"] for _, task in points])
        chart = line_chart([line], x_label="step", y_label=points[0][1]["metric"], smooth=False)
        parts.append(f"<h2>{escape(name)}</h2>{chart}")
    page = html_page("Checkpoint by checkpoint", "".join(parts))
    path = storage.join(output, "curve.html")
    storage.write_bytes(path, page.encode())
    log.STDOUT.print(f"curve: {path}", soft_wrap=True, highlight=False)


def _new_steps(config: SuiteConfig, run: str, skipped: set[int]) -> list[int]:
    done = {*_evaluated(config.output), *skipped}
    return [
        step
        for step in manifest.steps(run)
        if step not in done and manifest.seems_complete(run, step)
    ]


def _evaluated(output: str) -> list[int]:
    """Steps whose results are there."""
    names = [name for name in storage.list_folders(output) if name.startswith("step-")]
    return sorted(
        int(name.removeprefix("step-"))
        for name in names
        if storage.exists(storage.join(output, name, "results.json"))
    )


def _summary(output: str, step: int) -> dict[str, Any]:
    path = storage.join(output, f"step-{step:08d}", "results.json")
    tasks = json.loads(storage.read_bytes(path))["tasks"]
    summary = {}
    for name, task in tasks.items():
        metric = headlines(task)[0]
        value, interval = task["metrics"][metric], task["ci95"][metric]
        summary[name] = {"metric": metric, "value": value, "ci95": interval}
    return {"step": step, "tasks": summary}


def _agreed(values: list[Any], world: World) -> list[Any]:
    """What the first rank has, on all of them."""
    if world.world_size > 1:
        dist.broadcast_object_list(values)
    return values
