"""Checkpoint × tasks → OUTPUT/results.json, predictions/NAME.parquet, tables and report.html.

    open the sets ─ load the model once ─ features of all pictures and texts ─ numbers of each task

Every rank computes features; the first alone computes numbers from all of them and writes, so the
numbers are the same for any number of ranks. A killed evaluation keeps its features. A set that is
absent or contradicts itself stands in results.json with what is wrong; the others are measured.
"""

import io
import logging
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import pyarrow.parquet as pq
from rich.table import Table

from diagonal_eval.embed import Encoder, load_encoder
from diagonal_eval.evalset import EvalSet
from diagonal_eval.features import FeatureStore
from diagonal_eval.report_tables import interval_text, percent
from diagonal_eval.robustness_report import read_baselines, robustness_record
from diagonal_eval.suite.class_design import kinds_named
from diagonal_eval.suite.classification import measure_classification, texts_for
from diagonal_eval.suite.config import SuiteConfig
from diagonal_eval.suite.measured import Measured, Measuring
from diagonal_eval.suite.multilabel import measure_multilabel
from diagonal_eval.suite.opening import Opened, open_all
from diagonal_eval.suite.retrieving import caption_texts, measure_retrieval, measure_selection
from diagonal_eval.suite_report.predictions import predictions_path
from diagonal_eval.suite_report.write import write_suite_report
from diagonal_infra import log, run_dir, storage
from diagonal_infra.errors import UnitError
from diagonal_train.distributed import World

MEASURES = {
    "classification": measure_classification,
    "multilabel": measure_multilabel,
    "retrieval": measure_retrieval,
    "selection": measure_selection,
}
VERSIONS = ("torch", "open_clip_torch", "numpy", "pillow")
"""Of what the numbers depend on."""
logger = logging.getLogger(__name__)


def evaluate(config: SuiteConfig, world: World) -> dict[str, Any]:
    """Measure, write and print; all ranks call it.

    Returns:
        The record of results.json, on the first rank; an empty one on the others.

    Raises:
        UserError: no task is there at all.
        UnitError: some sets were refused; the others are measured and written.
        CheckpointError: the model is broken.
    """
    opened, baselines = open_all(config, world), read_baselines(config.baselines)
    if world.is_main:
        storage.check_writable(config.output)
        run_dir.write_config(config.output, config)
    encoder = load_encoder(config.checkpoint)
    cache = config.cache or storage.join(config.output, "cache")
    store = FeatureStore(cache, encoder, batch_size=config.batch_size, world=world)
    how = Measuring(
        logit_scale=encoder.logit_scale,
        per_template=config.per_template,
        seed=config.seed,
        resamples=config.resamples,
        kinds=kinds_named(config.class_design),
    )
    tasks, similarity = {}, None
    for evalset in opened.sets:
        measured = measure(evalset, store, how, world)
        if measured is not None:
            tasks[evalset.name] = write_task(config.output, evalset, measured)
            similarity = similarity or measured.class_cosines
    if not world.is_main:
        return {}
    results = results_record(encoder, store.transform, opened, tasks, seed=config.seed)
    robustness = robustness_record(tasks, baselines, seed=config.seed)
    results |= {} if robustness is None else {"robustness": robustness}
    storage.write_bytes(storage.join(config.output, "results.json"), run_dir.to_json(results))
    written = write_suite_report(
        config.output, results, picture=pictures_of(opened.sets), similarity=similarity
    )
    log.STDOUT.print(results_table(results))
    log.STDOUT.print(f"report: {written[0]}", soft_wrap=True, highlight=False)
    if opened.refused:
        raise UnitError(f"{len(opened.refused)} sets were refused: {'; '.join(opened.refused)}")
    return results


def measure(evalset: EvalSet, store: FeatureStore, how: Measuring, world: World) -> Measured | None:
    """The task's numbers, on the first rank; the others help with the features."""
    features = store.images(evalset)
    if evalset.kind in ("classification", "multilabel"):
        texts = texts_for(evalset, how)
    else:
        texts = caption_texts(evalset)
    rows_MD = store.texts(texts)
    if not world.is_main:
        return None
    row_of = {text: row for row, text in enumerate(texts)}
    measured = MEASURES[evalset.kind](
        evalset, features, lambda wanted: rows_MD[[row_of[text] for text in wanted]], how
    )
    measured.record["unreadable"] = int((~features.readable_N).sum())
    return measured


def write_task(output: str, evalset: EvalSet, measured: Measured) -> dict[str, Any]:
    """Write the task's predictions; its part of results.json."""
    buffer = io.BytesIO()
    pq.write_table(measured.predictions, buffer)
    storage.write_bytes(predictions_path(output, evalset.name), buffer.getvalue())
    return {
        "kind": evalset.kind,
        "metric": evalset.metric,
        "split": evalset.split,
        "n": len(evalset.keys),
        **measured.record,
        "set_digest": evalset.digest,
    }


def results_record(
    encoder: Encoder, transform: str, opened: Opened, tasks: Mapping[str, Any], *, seed: int
) -> dict[str, Any]:
    """results.json but for what compares tasks."""
    return {
        "tasks": dict(tasks),
        "absent": dict(opened.absent),
        "refused": dict(opened.refused),
        "checkpoint": encoder.name,
        "checkpoint_step": encoder.step,
        "encoder_digest": encoder.digest,
        "transform": transform,
        "seed": seed,
        "versions": {name: version(name) for name in VERSIONS},
        "code_revision": run_dir.code_revision(),
    }


def pictures_of(sets: Sequence[EvalSet]) -> Callable[[str, str], bytes | None]:
    """Task and key to the encoded picture."""
    by_name = {evalset.name: evalset for evalset in sets}

    def picture(task: str, key: str) -> bytes | None:
        evalset = by_name.get(task)
        if evalset is None or key not in evalset.keys:
            return None
        return next(iter(evalset.read([evalset.keys.index(key)])), None) or None

    return picture


def results_table(results: Mapping[str, Any]) -> Table:
    """The headline of every task, for the terminal."""
    table = Table(title=f"zero-shot, {results['checkpoint']}", title_justify="left")
    for column in ("task", "metric"):
        table.add_column(column)
    for column in ("n", "value [95 %]", "chance"):
        table.add_column(column, justify="right")
    for name, task in results["tasks"].items():
        for metric in headlines(task):
            value, interval = task["metrics"][metric], task["ci95"][metric]
            shown = f"{percent(value)} {interval_text(tuple(interval))}"
            chance = "" if task["chance"] is None else percent(task["chance"])
            table.add_row(name, metric, f"{task['n']:,}", shown, chance)
    for name in (*results["absent"], *results["refused"]):
        table.add_row(name, "", "", "absent" if name in results["absent"] else "refused", "")
    return table


def headlines(task: Mapping[str, Any]) -> Sequence[str]:
    """The metrics that stand for a task: its own, where it could be computed."""
    metrics: Mapping[str, float] = task["metrics"]
    if task["kind"] == "retrieval":
        return [name for name in metrics if name.endswith("@1")]
    return [task["metric"]] if task["metric"] in metrics else list(metrics)[:1]
