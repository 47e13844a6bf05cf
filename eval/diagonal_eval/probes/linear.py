"""The linear probe of a set: a classifier of its features before the projection.

    train ─► part fitted, part for choosing C ─► both fitted with that C ─► test: numbers, answers
                                              └► few shots of the part fitted: curve

Training pictures that cannot be decoded are left out and counted; test pictures that cannot are
wrong, as in zero-shot classification. A class without a training picture is never predicted, and is
counted. Sets with several labels per picture get a classifier of each class against the rest.

Shape suffixes: N samples, M test pictures, P features before the projection, C classes, K classes
with samples.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diagonal_eval.evalset import EvalSet
from diagonal_eval.features import FeatureStore, ImageFeatures
from diagonal_eval.metrics import average_precisions, mean_per_class_recall
from diagonal_eval.probes.config import ProbeConfig
from diagonal_eval.probes.few_shot import Shots, few_shot_curve
from diagonal_eval.probes.logistic import Fit, LinearClassifier, fit
from diagonal_eval.probes.samples import (
    Probe,
    Samples,
    check_splits,
    held_out_rows,
    prepare,
    readable_samples,
)
from diagonal_eval.probes.sweep import HIGHEST, LOWEST, Sweep, choose_c
from diagonal_eval.suite.classification import measure_logits
from diagonal_eval.suite.measured import Measured, Measuring
from diagonal_eval.suite.multilabel import measure_scores
from diagonal_eval.zeroshot import rank_logits
from diagonal_infra.errors import UserError

PER_CLASS = "mean_per_class_recall"


def measure_probe(
    train: EvalSet,
    test: EvalSet,
    store: FeatureStore,
    config: ProbeConfig,
    *,
    validation: EvalSet | None = None,
) -> Measured:
    """Fit on `train`, measure on `test`: the part of results.json, and a row per test picture.

    Args:
        train: classification or multilabel.
        test: of the same classes.
        store: the `FeatureStore` of the model.
        config: shots, seeds and limits.
        validation: chooses C; without it a fifth of `train` does.

    Raises:
        UserError: the splits differ in kind or classes, nothing can be told apart, or features are
            not finite.
    """
    check_splits([train, test] if validation is None else [train, test, validation])
    samples, left_out = readable_samples(train, store.images(train))
    if validation is None:
        held_out_N = held_out_rows(samples.truth, config.seed)
        fitted, validated = samples.at(~held_out_N), samples.at(held_out_N)
        everything = samples
    else:
        fitted = samples
        validated, unread = readable_samples(validation, store.images(validation))
        left_out += unread
        everything = Samples(
            features_NP=np.concatenate([fitted.features_NP, validated.features_NP]),
            truth=np.concatenate([fitted.truth, validated.truth]),
        )
    run = Run(
        test=test,
        tested=store.images(test),
        fitted=fitted,
        validated=validated,
        everything=everything,
        device=str(store.encoder.device),
        config=config,
    )
    measured = run.measure()
    measured.record["unreadable_train"] = left_out
    measured.record["train_digest"] = train.digest
    return measured


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """The splits of one probe."""

    test: EvalSet
    tested: ImageFeatures
    fitted: Samples
    validated: Samples
    everything: Samples
    device: str
    config: ProbeConfig

    @property
    def num_classes(self) -> int:
        """Those of the set, with samples or without."""
        return len(self.test.class_names)

    def measure(self) -> Measured:
        """Choose C, fit all, measure."""
        sweep = self.choose()
        probe, found = self.fit_all(sweep)
        scores_NC = probe.scores(self.tested.pooled_NP)
        unreadable_N = ~self.tested.readable_N
        how = Measuring(logit_scale=1.0, per_template=False, seed=self.config.seed)
        if probe.exclusive:
            labels_N = self.test.labels_N
            assert labels_N is not None
            # All classes tie, so the picture counts as wrong.
            scores_NC[unreadable_N] = 0
            answers = rank_logits(scores_NC, labels_N)
            measured = measure_logits(self.test, answers, scores_NC, ~unreadable_N, how)
        else:
            scores_NC[unreadable_N] = scores_NC.min() - 1
            measured = measure_scores(self.test, scores_NC, ~unreadable_N, how)
        record = measured.record | {
            "unreadable": int(unreadable_N.sum()),
            "probe": self.probe_record(sweep, probe, found),
        }
        if self.config.shots and probe.exclusive:
            record["few_shot"] = self.few_shot_record()
        return Measured(record=record, predictions=measured.predictions)

    def choose(self) -> Sweep:
        """C by the validation split.

        Raises:
            UserError: no class has a second sample to validate with.
        """
        if not len(self.validated.truth):
            raise UserError(
                f"set {self.test.name!r}: no class has two readable training pictures, so none is "
                "left to choose C with; give a validation split"
            )
        problem, known_K = prepare(self.fitted, self.device)
        return choose_c(
            problem,
            lambda found: self.score(self.probe_of(found.classifier, known_K), self.validated),
            max_iterations=self.config.max_iterations,
        )

    def fit_all(self, sweep: Sweep) -> tuple[Probe, Fit]:
        """Training and validation split together, with the C chosen."""
        problem, known_K = prepare(self.everything, self.device)
        found = fit(problem, sweep.c, max_iterations=self.config.max_iterations)
        return self.probe_of(found.classifier, known_K), found

    def probe_of(self, classifier: LinearClassifier, known_K: NDArray[np.int64]) -> Probe:
        """The classifier with its classes."""
        return Probe(
            classifier=classifier,
            known_K=known_K,
            num_classes=self.num_classes,
            exclusive=self.fitted.truth.ndim == 1,
        )

    def score(self, probe: Probe, samples: Samples) -> float:
        """What C is chosen by: accuracy, that of the mean class, or mean average precision."""
        scores_NC = probe.scores(samples.features_NP)
        if not probe.exclusive:
            return float(average_precisions(scores_NC, samples.truth).mean())
        predicted_N = scores_NC.argmax(axis=1)
        if self.test.metric == PER_CLASS:
            return mean_per_class_recall(samples.truth, predicted_N)
        return float((predicted_N == samples.truth).mean())

    def probe_record(self, sweep: Sweep, probe: Probe, found: Fit) -> dict[str, Any]:
        """How the classifier came about."""
        return {
            "c": sweep.c,
            "c_at_the_edge": sweep.c in (LOWEST, HIGHEST),
            "validation": {f"{c:.6g}": score for c, score in sweep.tried.items()},
            "n_train": len(self.everything.truth),
            "n_validation": len(self.validated.truth),
            "classes_without_samples": self.num_classes - len(probe.known_K),
            "iterations": found.iterations,
            "converged": found.converged,
        }

    def few_shot_record(self) -> list[Mapping[str, Any]]:
        """Accuracy for each number of shots, on the same test pictures."""
        known_K, labels_N = np.unique(self.fitted.truth, return_inverse=True)
        labels_M = self.test.labels_N
        assert labels_M is not None
        readable_M = self.tested.readable_N
        tested = Samples(features_NP=self.tested.pooled_NP[readable_M], truth=labels_M[readable_M])
        share = len(tested.truth) / len(labels_M)
        config = self.config
        curve = few_shot_curve(
            self.fitted.features_NP,
            labels_N.astype(np.int64),
            shots=config.shots,
            seeds=range(config.seed, config.seed + config.seeds),
            validate=lambda found: self.score(self.probe_of(found, known_K), self.validated),
            test=lambda found: self.score(self.probe_of(found, known_K), tested) * share,
            max_iterations=config.max_iterations,
            device=self.device,
        )
        metric = PER_CLASS if self.test.metric == PER_CLASS else "acc1"
        return [shots_record(point, metric) for point in curve]


def shots_record(point: Shots, metric: str) -> dict[str, Any]:
    """A point of the curve."""
    return {
        "shots": point.shots,
        "metric": metric,
        "value": point.mean,
        "ci95": list(point.interval),
        "per_seed": list(point.accuracies_S),
        "c": point.c,
        "n_train": point.samples,
        "short_classes": point.short_classes,
    }
