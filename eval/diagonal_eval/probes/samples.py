"""The pictures that a probe is fitted to, and what has been fitted.

Shape suffixes: N samples, P features before the projection, C classes, K classes with samples.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diagonal_eval.evalset import EvalSet
from diagonal_eval.features import Floats, ImageFeatures
from diagonal_eval.probes.logistic import (
    LinearClassifier,
    Problem,
    prepare_labels,
    prepare_truths,
)
from diagonal_eval.probes.sweep import validation_rows
from diagonal_infra.errors import UserError


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """The readable pictures of a split, or some of them."""

    features_NP: Floats
    truth: NDArray[Any]
    """Labels N or truths N×C."""

    def at(self, rows: NDArray[Any]) -> "Samples":
        """These rows, or those that are true."""
        return Samples(features_NP=self.features_NP[rows], truth=self.truth[rows])


@dataclass(frozen=True, kw_only=True, eq=False)
class Probe:
    """A fitted classifier, which knows the classes that its samples had."""

    classifier: LinearClassifier
    known_K: NDArray[np.int64]
    num_classes: int
    exclusive: bool

    def scores(self, features_NP: Floats) -> Floats:
        """One column per class; what cannot be predicted is -inf, or constant if not exclusive."""
        known_NK = self.classifier.scores(features_NP)
        if self.exclusive and known_NK.shape[1] == 1:
            known_NK = np.concatenate([np.zeros_like(known_NK), known_NK], axis=1)
        shape = (len(features_NP), self.num_classes)
        scores_NC = np.full(shape, -np.inf if self.exclusive else known_NK.min() - 1, np.float32)
        scores_NC[:, self.known_K] = known_NK
        return scores_NC


def prepare(samples: Samples, device: str) -> tuple[Problem, NDArray[np.int64]]:
    """The problem of the classes that have samples (and counter-samples), and which these are.

    Raises:
        UserError: there is nothing to tell apart.
    """
    if samples.truth.ndim == 1:
        known_K, labels_N = np.unique(samples.truth, return_inverse=True)
        return prepare_labels(samples.features_NP, labels_N, device=device), known_K
    known_K = np.flatnonzero(samples.truth.any(axis=0) & ~samples.truth.all(axis=0))
    if not len(known_K):
        raise UserError("no class has both pictures with it and without: nothing to tell apart")
    return prepare_truths(samples.features_NP, samples.truth[:, known_K], device=device), known_K


def held_out_rows(truth: NDArray[Any], seed: int) -> NDArray[np.bool_]:
    """A fifth of each class; pictures of several classes go with their rarest."""
    if truth.ndim == 1:
        return validation_rows(truth, seed=seed)
    count_C = truth.sum(axis=0)
    rarest_N = np.where(truth, count_C, len(truth) + 1).argmin(axis=1)
    return validation_rows(np.where(truth.any(axis=1), rarest_N, -1), seed=seed)


def readable_samples(evalset: EvalSet, features: ImageFeatures) -> tuple[Samples, int]:
    """What can be fitted, and how many pictures are left out."""
    truth = evalset.labels_N if evalset.kind == "classification" else evalset.multilabels_NC
    assert truth is not None
    samples = Samples(features_NP=features.pooled_NP, truth=truth).at(features.readable_N)
    return samples, int((~features.readable_N).sum())


def check_splits(splits: list[EvalSet]) -> None:
    """They have labels, and the same classes.

    Raises:
        UserError: otherwise.
    """
    first = splits[0]
    for one in splits:
        if one.kind not in ("classification", "multilabel"):
            raise UserError(f"set {one.name!r} is of kind {one.kind}: a probe needs labels")
        if one.kind != first.kind or one.class_names != first.class_names:
            raise UserError(
                f"set {first.name!r}: the classes of {one.split} are not those of {first.split}"
            )
