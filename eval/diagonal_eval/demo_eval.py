"""Evaluate a checkpoint on the demo: zero-shot classification and retrieval on held-out drawings.

    python -m diagonal_eval demo --checkpoint out/demo/run --output out/demo/eval

Writes OUTPUT/results.json, predictions.parquet, report.html, tasks.html and config.json; embeddings
are cached in OUTPUT/cache by content, so the same checkpoint on the same data is not embedded
twice. What the model was trained on stands in the run's own config.json; funnel and leak check
follow it.

Shape suffixes: N drawings or texts, D embedding width.
"""

import io
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from diagonal_eval.config import EvalConfig
from diagonal_eval.dataset import (
    Dataset,
    content_digest,
    iterate_images,
    open_dataset,
    read_all_samples,
)
from diagonal_eval.demo_tasks import (
    Drawing,
    Label,
    as_evalset,
    class_names_for,
    match_drawings,
    plan_tasks,
    read_labels,
)
from diagonal_eval.embed import (
    Encoder,
    cached,
    embed_images,
    embed_texts,
    load_encoder,
)
from diagonal_eval.features import FeatureStore, ImageFeatures
from diagonal_eval.model_names import split_checkpoint
from diagonal_eval.pictures import (
    held_out_sheet,
    kept_sheet,
    read_loss_curve,
    similarity_matrices,
)
from diagonal_eval.report import ReportParts, write_report
from diagonal_eval.report_tables import results_table
from diagonal_eval.results import (
    Results,
    answer_tasks,
    held_out_means,
    held_out_retrieval,
    predictions_table,
    results_json,
)
from diagonal_eval.suite.classification import measure_classification
from diagonal_eval.suite.config import SuiteConfig
from diagonal_eval.suite.measured import Measuring
from diagonal_eval.suite.opening import Opened, open_all
from diagonal_eval.suite.run import measure as measure_set
from diagonal_eval.suite.run import pictures_of, results_record, write_task
from diagonal_eval.suite_report.write import write_suite_report
from diagonal_eval.training_data import TrainingData, read_training_data
from diagonal_eval.zeroshot import BARE_LABEL, EmbedTexts, prompts_for
from diagonal_infra import log, run_dir, storage
from diagonal_train.distributed import World

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What is read before the model is loaded."""

    dataset: Dataset
    labels: list[Label]
    drawings: list[Drawing]
    training: TrainingData | None
    """What the run was trained on; None if it cannot be read."""


def main(config: EvalConfig) -> None:
    """Measure, write, and print the headline numbers and the path of the report."""
    started = time.perf_counter()
    inputs = read_inputs(config)
    storage.check_writable(config.output)
    run_dir.write_config(config.output, config)
    encoder = load_encoder(config.checkpoint)
    images_ND = embed_drawings(config, inputs, encoder)
    embed = text_lookup(config, inputs.labels, encoder)
    results = measure(config, inputs, encoder, images_ND, embed, started)
    tasks = measure_tasks(config, inputs, encoder, images_ND, embed)
    write_results(config, inputs, results, tasks)
    initial = load_encoder(config.checkpoint, step=0)
    report = storage.join(config.output, "report.html")
    write_report(report, gather_report(config, inputs, results, before=initial, after=encoder))
    log.STDOUT.print(results_table(results))
    log.STDOUT.print(f"report: {report}", soft_wrap=True)


def read_inputs(config: EvalConfig) -> Inputs:
    """Dataset and ground truth; wrong paths are found here, before the model is loaded."""
    dataset = open_dataset(config.data)
    labels = read_labels(config.labels)
    return Inputs(
        dataset=dataset,
        labels=labels,
        drawings=match_drawings(labels, read_all_samples(dataset)),
        training=read_training_data(split_checkpoint(config.checkpoint)[0]),
    )


def measure(
    config: EvalConfig,
    inputs: Inputs,
    encoder: Encoder,
    images_ND: NDArray[np.float16],
    embed: EmbedTexts,
    started: float,
) -> Results:
    """Answer all tasks, rank all captions."""
    embedded = time.perf_counter()
    drawings = inputs.drawings
    tasks = answer_tasks(plan_tasks(inputs.labels, drawings), images_ND, embed, config.templates)
    means = held_out_means(tasks, drawings, seed=config.seed, resamples=config.bootstrap_resamples)
    retrieval = held_out_retrieval(drawings, images_ND, embed)
    return Results(
        tasks=tasks,
        means=means,
        retrieval=retrieval,
        funnel=inputs.training.funnel if inputs.training else None,
        leaked=count_leaked(inputs),
        seed=config.seed,
        dataset_digest=inputs.dataset.digest,
        encoder_digest=encoder.digest,
        checkpoint_step=encoder.step,
        templates=config.templates,
        wall_seconds={
            "embed": round(embedded - started, 2),
            "measure": round(time.perf_counter() - embedded, 2),
        },
    )


def measure_tasks(
    config: EvalConfig,
    inputs: Inputs,
    encoder: Encoder,
    images_ND: NDArray[np.float16],
    embed: EmbedTexts,
) -> dict[str, Any]:
    """The held-out styles and the further tasks as the zero-shot suite has them: its results.json.

    Their predictions are what `compare` reads; tasks.html shows them.
    """
    how = Measuring(
        logit_scale=encoder.logit_scale, seed=config.seed, resamples=config.bootstrap_resamples
    )
    own, tasks = [], {}
    for task in plan_tasks(inputs.labels, inputs.drawings):
        if not task.held_out_style:
            continue
        evalset = as_evalset(task, inputs.drawings, inputs.dataset, config.templates)
        rows_ND = images_ND[task.drawings_N].astype(np.float32)
        features = ImageFeatures(
            embedding_ND=rows_ND,
            pooled_NP=rows_ND,
            readable_N=np.any(rows_ND, axis=1, keepdims=True)[:, 0],
        )
        measured = measure_classification(evalset, features, embed, how)
        own.append(evalset)
        tasks[evalset.name] = write_task(config.output, evalset, measured)
    opened, transform = Opened(sets=(), absent={}, refused={}), ""
    if config.tasks:
        suite = SuiteConfig(
            checkpoint=config.checkpoint, tasks=config.tasks, output=config.output, seed=config.seed
        )
        opened = open_all(suite, World())
        store = FeatureStore(storage.join(config.output, "cache"), encoder)
        transform = store.transform
        for evalset in opened.sets:
            measured = measure_set(evalset, store, how, World())
            assert measured is not None
            tasks[evalset.name] = write_task(config.output, evalset, measured)
    record = results_record(encoder, transform, opened, tasks, seed=config.seed)
    picture = pictures_of([*own, *opened.sets])
    write_suite_report(config.output, record, picture=picture, page="tasks.html")
    return record


def embed_drawings(config: EvalConfig, inputs: Inputs, encoder: Encoder) -> NDArray[np.float16]:
    """One row per drawing."""
    samples = [drawing.sample for drawing in inputs.drawings]
    digest = content_digest(encoder.digest, inputs.dataset.digest, *(s.uid for s in samples))
    return cached(
        storage.join(config.output, "cache", f"images-{digest}.npz"),
        len(samples),
        "pictures",
        lambda on_batch: embed_images(
            encoder, iterate_images(inputs.dataset, samples), config.batch_size, on_batch
        ),
    )


def text_lookup(config: EvalConfig, labels: Sequence[Label], encoder: Encoder) -> EmbedTexts:
    """Every prompt embedded once; the answer looks them up."""
    names = sorted({*class_names_for(labels, "seen"), *class_names_for(labels, "unseen")})
    texts = list(dict.fromkeys(prompts_for(names, (*BARE_LABEL, *config.templates))))
    rows_ND = cached(
        storage.join(config.output, "cache", f"texts-{content_digest(encoder.digest, *texts)}.npz"),
        len(texts),
        "texts",
        lambda on_batch: embed_texts(encoder, texts, config.batch_size, on_batch),
    )
    row_of = {text: row for row, text in enumerate(texts)}
    return lambda wanted: rows_ND[[row_of[text] for text in wanted]]


def count_leaked(inputs: Inputs) -> int | None:
    """Training samples whose URL is labelled as a held-out style or concept; None if unknown."""
    if inputs.training is None:
        return None
    held_out = {
        label.url for label in inputs.labels if label.held_out_style or label.held_out_concept
    }
    leaked = inputs.training.count_at(held_out)
    if leaked:
        logger.warning("trained on held-out drawings: accuracy is too high leaked=%d", leaked)
    return leaked


def write_results(
    config: EvalConfig, inputs: Inputs, results: Results, suite: dict[str, Any]
) -> None:
    """predictions.parquet, then results.json."""
    buffer = io.BytesIO()
    pq.write_table(predictions_table(results.tasks, inputs.drawings), buffer)
    storage.write_bytes(storage.join(config.output, "predictions.parquet"), buffer.getvalue())
    record = run_dir.to_json(suite | results_json(results))
    storage.write_bytes(storage.join(config.output, "results.json"), record)


def gather_report(
    config: EvalConfig, inputs: Inputs, results: Results, *, before: Encoder, after: Encoder
) -> ReportParts:
    """Everything the report shows; reads pictures again and the run's own records."""
    dataset, drawings, run = inputs.dataset, inputs.drawings, split_checkpoint(config.checkpoint)[0]
    count, seed = config.sheet_samples, config.seed
    trained_with = json.loads(storage.read_bytes(storage.join(run, "config.json")))
    return ReportParts(
        title="Diagonal: evaluation report",
        results=results,
        kept=kept_sheet(inputs.training, count=count, seed=seed) if inputs.training else [],
        held_out=held_out_sheet(dataset, drawings, results.tasks, count=count, seed=seed),
        matrices=similarity_matrices(
            dataset, drawings, before=before, after=after, count=config.matrix_pairs, seed=seed
        ),
        loss_curve=read_loss_curve(run),
        config={"evaluation": run_dir.resolved(config), "training": trained_with},
        code_revision=run_dir.code_revision(),
    )
