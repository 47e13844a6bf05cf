"""Zero-shot classification of a set: accuracies, each template, the bare label, what is confused.

Shape suffixes: N pictures, C classes, D embedding width.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from diagonal_eval.calibration import calibration_record, measure_calibration
from diagonal_eval.evalset import EvalSet
from diagonal_eval.features import ImageFeatures
from diagonal_eval.group_errors import compare_groups, gaps_record, groups_record
from diagonal_eval.metrics import (
    NONE_PREDICTED,
    bootstrap_interval,
    group_indexes,
    macro_f1,
    mean_per_class_recall,
    per_class_recall,
    roc_auc,
    worst_group_accuracy,
)
from diagonal_eval.spread import spread_record
from diagonal_eval.suite.class_design import design_texts, measure_designs
from diagonal_eval.suite.each_template import each_template
from diagonal_eval.suite.measured import (
    EmbedTexts,
    Measured,
    Measuring,
    Numbers,
    prediction_table,
    softmax_of,
)
from diagonal_eval.weak_spots.skin_tone import tone_spread
from diagonal_eval.zeroshot import (
    BARE_LABEL,
    Floats,
    Predictions,
    build_classifier,
    predict,
    prompts_for,
)
from diagonal_infra.errors import UserError

MOST_CONFUSIONS, MOST_KEYS = 20, 4
MOST_COSINES = 60
"""Classes whose likeness can still be shown."""
UNREADABLE = "(unreadable)"


def texts_for(evalset: EvalSet, how: Measuring) -> list[str]:
    """Every text that the measurement asks for."""
    texts = [text for prompts in class_prompts(evalset).values() for text in prompts]
    if how.per_template:
        texts += prompts_for(evalset.class_names, BARE_LABEL)
    return [*texts, *design_texts(evalset, how)]


def class_prompts(evalset: EvalSet) -> dict[str, tuple[str, ...]]:
    """The prompts of each class.

    Raises:
        UserError: the set has neither templates nor prompts, or prompts for some classes only.
    """
    names = evalset.class_names
    if evalset.prompts is not None:
        missing = [name for name in names if not evalset.prompts.get(name)]
        if missing:
            raise UserError(
                f"set {evalset.name!r}: no prompts for {len(missing)} of {len(names)} classes, "
                f"for instance {missing[0]!r}"
            )
        return {name: evalset.prompts[name] for name in names}
    if not evalset.templates:
        raise UserError(f"set {evalset.name!r} has no templates; give them with --sets.templates")
    return {name: tuple(prompts_for([name], evalset.templates)) for name in names}


def ensemble_classifier(evalset: EvalSet, embed: EmbedTexts) -> Floats:
    """One row per class out of all its prompts."""
    if evalset.prompts is None:
        return build_classifier(embed, evalset.class_names, evalset.templates)
    prompts = class_prompts(evalset)
    rows = [build_classifier(embed, (name,), prompts[name]) for name in evalset.class_names]
    return np.concatenate(rows)


def measure_classification(
    evalset: EvalSet, features: ImageFeatures, embed: EmbedTexts, how: Measuring
) -> Measured:
    """Every number of a set with one label per picture."""
    truth_N = evalset.labels_N
    assert truth_N is not None
    classifier_CD = ensemble_classifier(evalset, embed)
    answers = predict(features.embedding_ND, classifier_CD, truth_N)
    logits_NC = features.embedding_ND @ classifier_CD.T * np.float32(how.logit_scale)
    measured = measure_logits(evalset, answers, logits_NC, features.readable_N, how)
    record = measured.record | measure_designs(evalset, features, embed, how)
    if how.per_template:
        record |= each_template(evalset, features, embed, seed=how.seed)
    few = 2 <= len(classifier_CD) <= MOST_COSINES
    cosines = (evalset.class_names, classifier_CD @ classifier_CD.T) if few else None
    return replace(measured, record=record, class_cosines=cosines)


def measure_logits(
    evalset: EvalSet,
    answers: Predictions,
    logits_NC: Floats,
    readable_N: NDArray[np.bool_],
    how: Measuring,
) -> Measured:
    """What any classifier's answers amount to; its logits give confidences and margins."""
    predicted_N = np.where(readable_N, answers.top_NK[:, 0], NONE_PREDICTED)
    numbers = _numbers(evalset, answers, predicted_N, logits_NC, how)
    record = {
        "metrics": numbers.metrics,
        "ci95": numbers.ci95,
        "chance": 1 / len(evalset.class_names),
        "classes": len(evalset.class_names),
        **_groups(evalset, answers.rank_N == 0, how),
        "per_class": _per_class(evalset, predicted_N),
        "confusions": _confusions(evalset, predicted_N),
    }
    # A picture that cannot be read has no confidence that could be believed or not.
    truth_N = evalset.labels_N
    assert truth_N is not None
    calibration = measure_calibration(
        logits_NC[readable_N], truth_N[readable_N], seed=how.seed, resamples=how.resamples
    )
    record["calibration"] = calibration_record(calibration)
    return Measured(record=record, predictions=_table(evalset, answers, predicted_N, logits_NC))


def _numbers(
    evalset: EvalSet,
    answers: Predictions,
    predicted_N: NDArray[np.int64],
    logits_NC: Floats,
    how: Measuring,
) -> Numbers:
    truth_N = evalset.labels_N
    assert truth_N is not None
    n, numbers = len(truth_N), Numbers(metrics={}, ci95={})
    numbers.add_rate("acc1", answers.accuracy(1))
    if len(evalset.class_names) >= 5:
        numbers.add_rate("acc5", answers.accuracy(5))
    statistics = {"mean_per_class_recall": lambda w: mean_per_class_recall(truth_N, predicted_N, w)}
    if evalset.metric == "macro_f1":
        statistics["macro_f1"] = lambda w: macro_f1(truth_N, predicted_N, w)
    if len(evalset.class_names) == 2:
        margin_N = logits_NC[:, 1] - logits_NC[:, 0]
        statistics["roc_auc"] = lambda w: roc_auc(margin_N, truth_N == 1, w)
    for name, statistic in statistics.items():
        value = statistic(np.ones(n))
        # Not a number: a single class has no area under the curve.
        if not np.isnan(value):
            interval = bootstrap_interval(statistic, n, seed=how.seed, resamples=how.resamples)
            numbers.add(name, value, interval)
    if evalset.metric == "worst_group_acc1" and evalset.groups:
        _add_worst_group(numbers, evalset, answers.rank_N == 0, how)
    return numbers


def _add_worst_group(
    numbers: Numbers, evalset: EvalSet, correct_N: NDArray[np.bool_], how: Measuring
) -> None:
    """Of the first attribute; over the pictures that belong to a group of it."""
    values = next(iter(evalset.groups.values()))
    rows = [row for row, value in enumerate(values) if value]
    if not rows:
        return
    _, group_M = group_indexes([values[row] for row in rows])
    correct_M = correct_N[rows]

    def statistic(weight_M: NDArray[np.floating]) -> float:
        return worst_group_accuracy(group_M, correct_M, weight_M)

    interval = bootstrap_interval(statistic, len(rows), seed=how.seed, resamples=how.resamples)
    numbers.add("worst_group_acc1", statistic(np.ones(len(rows))), interval)


def _groups(evalset: EvalSet, correct_N: NDArray[np.bool_], how: Measuring) -> dict[str, Any]:
    """Right answers of every group, and the gap between the best and the worst."""
    found = compare_groups(correct_N, evalset.groups, seed=how.seed)
    record = {"groups": groups_record(found), "group_gaps": gaps_record(found)}
    if {"family", "skin_tone"} <= set(evalset.groups):
        record["tone_spread"] = spread_record(tone_spread(evalset, correct_N, seed=how.seed))
    return record


def _per_class(evalset: EvalSet, predicted_N: NDArray[np.int64]) -> dict[str, Any]:
    truth_N = evalset.labels_N
    assert truth_N is not None
    count_C, names = np.bincount(truth_N), distinct(evalset.class_names)
    return {
        names[c]: {"n": int(count_C[c]), "recall": float(recall)}
        for c, recall in zip(*per_class_recall(truth_N, predicted_N), strict=True)
    }


def _confusions(evalset: EvalSet, predicted_N: NDArray[np.int64]) -> list[dict[str, Any]]:
    """The commonest pairs of truth and wrong prediction, with some of the pictures."""
    truth_N = evalset.labels_N
    assert truth_N is not None
    keys: dict[tuple[int, int], list[str]] = defaultdict(list)
    for row in np.flatnonzero((truth_N != predicted_N) & (predicted_N >= 0)):
        keys[int(truth_N[row]), int(predicted_N[row])].append(evalset.keys[row])
    names = distinct(evalset.class_names)
    counts = Counter({pair: len(found) for pair, found in keys.items()})
    # Of equals the first by class, so that the same predictions give the same report.
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_CONFUSIONS]
    return [
        {
            "truth": names[truth],
            "predicted": names[predicted],
            "count": count,
            "keys": keys[truth, predicted][:MOST_KEYS],
        }
        for (truth, predicted), count in ordered
    ]


def _table(
    evalset: EvalSet, answers: Predictions, predicted_N: NDArray[np.int64], logits_NC: Floats
) -> Any:
    truth_N = evalset.labels_N
    assert truth_N is not None
    confidence_N = softmax_of(logits_NC, answers.top_NK[:, 0])
    confidence_N[predicted_N < 0] = 0
    names = distinct(evalset.class_names)
    return prediction_table(
        {
            "key": evalset.keys,
            "truth": names_at(names, truth_N),
            "predicted": names_at(names, predicted_N),
            "correct": answers.rank_N == 0,
            "rank": answers.rank_N,
            "confidence": confidence_N,
        },
        _what_the_headline_needs(evalset, logits_NC),
    )


def _what_the_headline_needs(evalset: EvalSet, logits_NC: Floats) -> dict[str, Any]:
    """Columns without which `compare` could not compute the headline again."""
    if evalset.metric == "worst_group_acc1" and evalset.groups:
        return {"group": pa.array(next(iter(evalset.groups.values())), pa.string())}
    if evalset.metric == "roc_auc" and len(evalset.class_names) == 2:
        assert evalset.labels_N is not None
        truths_NC = evalset.labels_N[:, None] == np.arange(2)
        return {
            "scores": pa.array(list(logits_NC), pa.list_(pa.float32())),
            "truths": pa.array(list(truths_NC), pa.list_(pa.bool_())),
        }
    return {}


def distinct(names: Sequence[str]) -> list[str]:
    """The names, numbered where two classes have one name, as in Birdsnap and ImageNet."""
    total, seen = Counter(names), Counter[str]()
    found = []
    for name in names:
        seen[name] += 1
        found.append(f"{name} ({seen[name]})" if total[name] > 1 else name)
    return found


def names_at(names: Sequence[str], index_N: NDArray[np.int64]) -> list[str]:
    """The class names of indexes; below 0 there is none."""
    return [str(names[i]) if i >= 0 else UNREADABLE for i in index_N]
