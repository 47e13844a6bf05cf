"""All measurements of one checkpoint, and the files they are written as.

results.json          {"funnel", "zeroshot": {STYLE: {…, "unseen": {…}}}, "mean_held_out",
                      "retrieval", "seed", "dataset_digest", "checkpoint_step", …}
predictions.parquet   one row per drawing and kind of prompt

Shape suffixes: N pictures, K best classes, D embedding width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from diagonal_eval.demo_tasks import Concepts, Drawing, Task
from diagonal_eval.intervals import Interval, Rate, bootstrap_mean_interval
from diagonal_eval.retrieval import Retrieval, evaluate_retrieval
from diagonal_eval.zeroshot import BARE_LABEL, EmbedTexts, Predictions, build_classifier, predict

ALL_HELD_OUT = "held_out"
"""Name of the retrieval pool with every held-out style in it."""

PREDICTIONS_SCHEMA = pa.schema(
    [
        pa.field("uid", pa.string(), nullable=False),
        pa.field("style", pa.string(), nullable=False),
        pa.field("hexcode", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("concepts", pa.string(), nullable=False),
        pa.field("trained", pa.bool_(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("predicted", pa.list_(pa.string()), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
    ]
)
"""`concepts`: seen or unseen; `prompt`: ensemble or bare_label; `predicted`: the five best class
names, best first; `rank`: of the right class, 0 is first."""


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """One task, answered with the prompt ensemble, the bare label and each template alone."""

    task: Task
    ensemble: Predictions
    bare_label: Predictions
    per_template: Mapping[str, Predictions]


@dataclass(frozen=True, kw_only=True)
class MeanAccuracy:
    """Mean over the held-out styles; intervals by bootstrap over concepts."""

    acc1: float
    acc1_interval: Interval
    acc5: float
    acc5_interval: Interval
    n: int
    chance: float
    styles: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Results:
    """What was measured, and on what."""

    tasks: tuple[TaskResult, ...]
    means: Mapping[Concepts, MeanAccuracy]
    retrieval: Mapping[str, Retrieval]
    funnel: Mapping[str, int] | None
    """Of the run's dataset and filter; None if they cannot be read."""
    leaked: int | None
    """Held-out drawings (by style or concept) that the run was trained on: 0 unless something is
    wrong; None if that is unknown."""
    seed: int
    dataset_digest: str
    encoder_digest: str
    checkpoint_step: int
    templates: tuple[str, ...]
    wall_seconds: Mapping[str, float]


def answer_tasks(
    tasks: Sequence[Task],
    images_ND: NDArray[np.floating],
    embed_texts: EmbedTexts,
    templates: Sequence[str],
) -> tuple[TaskResult, ...]:
    """Predictions for every task; classifiers are built once per set of class names."""
    classifiers: dict[tuple[tuple[str, ...], tuple[str, ...]], NDArray[np.float32]] = {}

    def answer(task: Task, prompts: tuple[str, ...]) -> Predictions:
        key = (task.class_names, prompts)
        if key not in classifiers:
            classifiers[key] = build_classifier(embed_texts, task.class_names, prompts)
        return predict(images_ND[task.drawings_N], classifiers[key], task.truth_N)

    return tuple(
        TaskResult(
            task=task,
            ensemble=answer(task, tuple(templates)),
            bare_label=answer(task, BARE_LABEL),
            per_template={template: answer(task, (template,)) for template in templates},
        )
        for task in tasks
    )


def mean_over_styles(
    results: Sequence[TaskResult], drawings: Sequence[Drawing], *, seed: int, resamples: int
) -> MeanAccuracy:
    """Mean accuracy over the styles of `results`, which share their classes.

    A concept's drawings in all styles are resampled together: outcomes of one concept go together,
    and drawing them apart would give too narrow an interval.
    """
    rank_N = np.concatenate([result.ensemble.rank_N for result in results])
    styles = [result.task.style for result in results for _ in result.ensemble.rank_N]
    concepts = [drawings[i].truth.hexcode for r in results for i in r.task.drawings_N]

    def interval(k: int) -> Interval:
        return bootstrap_mean_interval(
            rank_N < k, seed, groups=styles, clusters=concepts, resamples=resamples
        )

    return MeanAccuracy(
        acc1=float(np.mean([result.ensemble.accuracy(1).value for result in results])),
        acc1_interval=interval(1),
        acc5=float(np.mean([result.ensemble.accuracy(5).value for result in results])),
        acc5_interval=interval(5),
        n=len(rank_N),
        chance=1 / len(results[0].task.class_names),
        styles=tuple(result.task.style for result in results),
    )


def held_out_means(
    results: Sequence[TaskResult], drawings: Sequence[Drawing], *, seed: int, resamples: int
) -> dict[Concepts, MeanAccuracy]:
    """Mean accuracy over the held-out styles, for the kinds of concepts that were asked."""
    means: dict[Concepts, MeanAccuracy] = {}
    kinds: tuple[Concepts, Concepts] = ("seen", "unseen")
    for kind in kinds:
        chosen = [r for r in results if r.task.held_out_style and r.task.concepts == kind]
        if chosen:
            means[kind] = mean_over_styles(chosen, drawings, seed=seed, resamples=resamples)
    return means


def held_out_retrieval(
    drawings: Sequence[Drawing], images_ND: NDArray[np.floating], embed_texts: EmbedTexts
) -> dict[str, Retrieval]:
    """Pictures against labels: all held-out styles together, then each on its own.

    A label stands once in the gallery of texts; every picture of that label is right for it.
    """
    held_out = [i for i, drawing in enumerate(drawings) if drawing.truth.held_out_style]
    pools = {ALL_HELD_OUT: held_out}
    for style in sorted({drawings[i].truth.style for i in held_out}):
        pools[style] = [i for i in held_out if drawings[i].truth.style == style]
    found = {}
    for name, pool in pools.items():
        captions = [drawings[i].truth.label for i in pool]
        texts = sorted(set(captions))
        found[name] = evaluate_retrieval(images_ND[pool], captions, embed_texts(texts), texts)
    return found


def results_json(results: Results) -> dict[str, Any]:
    """The record of results.json; every number has its n and a 95 % interval beside it."""
    zeroshot: dict[str, dict[str, Any]] = {}
    for result in results.tasks:
        style = zeroshot.setdefault(result.task.style, {})
        record = _task_record(result)
        if result.task.concepts == "seen":
            style.update(record)
        else:
            style["unseen"] = record
    mean_held_out = {kind: _mean_record(mean) for kind, mean in results.means.items()}
    return {
        "funnel": None if results.funnel is None else dict(results.funnel),
        "zeroshot": zeroshot,
        "mean_held_out": mean_held_out.pop("seen", {}) | mean_held_out,
        "retrieval": {name: _retrieval_record(r) for name, r in results.retrieval.items()},
        "held_out_in_keep_list": results.leaked,
        "wall_seconds": dict(results.wall_seconds),
        "templates": list(results.templates),
        "seed": results.seed,
        "dataset_digest": results.dataset_digest,
        "encoder_digest": results.encoder_digest,
        "checkpoint_step": results.checkpoint_step,
    }


def _accuracy_record(predictions: Predictions) -> dict[str, Any]:
    acc1, acc5 = predictions.accuracy(1), predictions.accuracy(5)
    return {
        "n": acc1.n,
        "top1": acc1.value,
        "ci95": list(acc1.interval),
        "top5": acc5.value,
        "top5_ci95": list(acc5.interval),
    }


def _task_record(result: TaskResult) -> dict[str, Any]:
    num_classes = len(result.task.class_names)
    return {
        **_accuracy_record(result.ensemble),
        "classes": num_classes,
        "chance": 1 / num_classes,
        "held_out_style": result.task.held_out_style,
        "trained": result.task.trained,
        "bare_label": _accuracy_record(result.bare_label),
        "per_template": {name: _accuracy_record(p) for name, p in result.per_template.items()},
    }


def _mean_record(mean: MeanAccuracy) -> dict[str, Any]:
    return {
        "n": mean.n,
        "top1": mean.acc1,
        "ci95": list(mean.acc1_interval),
        "top5": mean.acc5,
        "top5_ci95": list(mean.acc5_interval),
        "chance": mean.chance,
        "styles": list(mean.styles),
    }


def _rate_record(rate: Rate) -> dict[str, Any]:
    return {"value": rate.value, "n": rate.n, "ci95": list(rate.interval)}


def _retrieval_record(retrieval: Retrieval) -> dict[str, Any]:
    return {
        "images": retrieval.num_images,
        "captions": retrieval.num_texts,
        "image_to_text": {
            f"recall@{k}": _rate_record(r) for k, r in retrieval.image_to_text.items()
        },
        "text_to_image": {
            f"recall@{k}": _rate_record(r) for k, r in retrieval.text_to_image.items()
        },
    }


def predictions_table(results: Sequence[TaskResult], drawings: Sequence[Drawing]) -> pa.Table:
    """Every drawing's answer with the ensemble and with the bare label; joins rows on uid."""
    rows = [
        {
            "uid": drawings[index].sample.uid,
            "style": result.task.style,
            "hexcode": drawings[index].truth.hexcode,
            "label": drawings[index].truth.label,
            "concepts": result.task.concepts,
            "trained": result.task.trained,
            "prompt": prompt,
            "predicted": [result.task.class_names[best] for best in predictions.top_NK[place]],
            "rank": int(predictions.rank_N[place]),
        }
        for result in results
        for prompt, predictions in (
            ("ensemble", result.ensemble),
            ("bare_label", result.bare_label),
        )
        for place, index in enumerate(result.task.drawings_N)
    ]
    return pa.Table.from_pylist(rows, schema=PREDICTIONS_SCHEMA)
