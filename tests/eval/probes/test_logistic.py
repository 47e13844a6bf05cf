import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from diagonal_eval.probes import logistic
from diagonal_infra.errors import UserError

Floats = NDArray[np.floating]
Labels = NDArray[np.int64]


def blobs(num_classes: int, *, n: int = 600, width: int = 24) -> tuple:
    """Overlapping classes in features whose scales and means differ widely."""
    rng = np.random.default_rng(0)
    labels_N = np.concatenate([np.arange(num_classes), rng.integers(num_classes, size=2 * n)])
    centres = rng.normal(size=(num_classes, width))
    features = centres[labels_N] + 2 * rng.normal(size=(len(labels_N), width))
    features = features * np.logspace(1, -2, width) + 5 * rng.normal(size=width)
    features = features.astype(np.float32)
    return features[:n], labels_N[:n], features[n:], labels_N[n:]


def objective(model: tuple[Floats, Floats], features: Floats, labels_N: Labels, c: float) -> float:
    """scikit-learn's, in fp64: C times the losses plus half the squared weights."""
    weight_DC, intercept_C = model
    logits = features.astype(np.float64) @ weight_DC + intercept_C
    if logits.shape[1] == 1:
        losses = np.logaddexp(0, np.where(labels_N == 1, -logits[:, 0], logits[:, 0]))
    else:
        losses = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(logits)), labels_N]
    return c * losses.sum() + np.square(weight_DC).sum() / 2


def sklearn_fit(features: Floats, labels_N: Labels, c: float) -> LogisticRegression:
    model = LogisticRegression(C=c, tol=1e-10, solver="newton-cholesky")
    return model.fit(features.astype(np.float64), labels_N)


def pair(model: logistic.LinearClassifier | LogisticRegression) -> tuple[Floats, Floats]:
    if isinstance(model, LogisticRegression):
        return model.coef_.T, np.asarray(model.intercept_)
    return model.weight_DC, model.intercept_C


@pytest.mark.parametrize("num_classes", [2, 5])
@pytest.mark.parametrize(
    ("c", "dtype"),
    [(c, torch.float32) for c in (1e-4, 1e-2, 1.0)] + [(c, torch.float64) for c in (10.0, 1e3)],
)
def test_the_minimum_is_scikit_learns(num_classes: int, c: float, dtype: torch.dtype) -> None:
    train, labels_N, test, test_labels_N = blobs(num_classes)
    problem = logistic.prepare_labels(train, labels_N, dtype=dtype)
    ours = logistic.fit(problem, c, tolerance=1e-8 if dtype == torch.float32 else 1e-10)
    theirs = sklearn_fit(train, labels_N, c)
    reached = objective(pair(ours.classifier), train, labels_N, c)
    assert reached <= objective(pair(theirs), train, labels_N, c) * (1 + 1e-6)
    assert ours.objective == pytest.approx(reached, rel=1e-5)
    assert ours.converged
    scores_NC = ours.classifier.scores(test)
    predicted = scores_NC[:, 0] > 0 if num_classes == 2 else scores_NC.argmax(axis=1)
    accuracy = (predicted == test_labels_N).mean()
    assert accuracy == pytest.approx(theirs.score(test, test_labels_N), abs=0.002)


@pytest.mark.parametrize("c", [1e-2, 1.0, 1e3])
def test_at_the_usual_tolerance_the_objective_is_at_most_scikit_learns(c: float) -> None:
    train, labels_N, _, _ = blobs(5)
    train = (train - train.mean(axis=0)) / train.std(axis=0)
    ours = logistic.fit(logistic.prepare_labels(train, labels_N), c)
    theirs = LogisticRegression(C=c, max_iter=1000).fit(train.astype(np.float64), labels_N)
    reached = objective(pair(ours.classifier), train, labels_N, c)
    assert reached <= objective(pair(theirs), train, labels_N, c) * (1 + 1e-6)


def test_in_double_precision_the_weights_are_scikit_learns() -> None:
    train, labels_N, _, _ = blobs(4)
    problem = logistic.prepare_labels(train, labels_N, dtype=torch.float64)
    ours = logistic.fit(problem, 0.1, tolerance=1e-14).classifier
    theirs = sklearn_fit(train, labels_N, 0.1)
    np.testing.assert_allclose(ours.weight_DC, theirs.coef_.T, atol=2e-5)


def test_fewer_samples_than_features_have_the_same_minimum() -> None:
    rng = np.random.default_rng(3)
    features, labels_N = rng.normal(size=(20, 50)).astype(np.float32), np.arange(20) % 4
    ours = logistic.fit(logistic.prepare_labels(features, labels_N), 0.5, tolerance=1e-8)
    theirs = sklearn_fit(features, labels_N, 0.5)
    assert ours.place_WC.shape == (21, 4)
    reached = objective(pair(ours.classifier), features, labels_N, 0.5)
    assert reached <= objective(pair(theirs), features, labels_N, 0.5) * (1 + 1e-6)
    np.testing.assert_allclose(ours.classifier.weight_DC, theirs.coef_.T, atol=1e-3)


def test_truths_are_one_against_the_rest() -> None:
    train, labels_N, _, _ = blobs(3)
    truths_NC = np.stack([labels_N == 0, labels_N > 0, labels_N == 2], axis=1)
    problem = logistic.prepare_truths(train, truths_NC)
    ours = logistic.fit(problem, 0.1, tolerance=1e-8).classifier
    for column, truth_N in enumerate(truths_NC.T.astype(np.int64)):
        theirs = sklearn_fit(train, truth_N, 0.1)
        model = ours.weight_DC[:, [column]], ours.intercept_C[[column]]
        reached = objective(model, train, truth_N, 0.1)
        assert reached <= objective(pair(theirs), train, truth_N, 0.1) * (1 + 1e-6)


@pytest.mark.parametrize("c", [1.0, 1e6])
def test_separable_classes_are_separated(c: float) -> None:
    labels_N = np.arange(300) % 3
    rng = np.random.default_rng(0)
    features = np.eye(3, 8)[labels_N] * 10 + rng.normal(size=(300, 8)) * 0.1
    found = logistic.fit(logistic.prepare_labels(features.astype(np.float32), labels_N), c)
    assert found.converged
    assert np.isfinite(found.classifier.weight_DC).all()
    assert (found.classifier.scores(features).argmax(axis=1) == labels_N).all()


def test_a_start_nearby_leads_to_the_same_minimum_sooner() -> None:
    train, labels_N, _, _ = blobs(5)
    problem = logistic.prepare_labels(train, labels_N)
    near = logistic.fit(problem, 0.9)
    warm, cold = logistic.fit(problem, 1.0, start=near), logistic.fit(problem, 1.0)
    assert warm.objective == pytest.approx(cold.objective, rel=1e-4)
    assert warm.evaluations < cold.evaluations


def test_a_constant_feature_and_one_iteration_are_no_trouble() -> None:
    train, labels_N, _, _ = blobs(3)
    train[:, 4] = 7
    found = logistic.fit(logistic.prepare_labels(train, labels_N), 1.0, max_iterations=1)
    assert not found.converged
    assert found.iterations == 1
    assert np.abs(found.classifier.weight_DC[4]).max() < 1e-4


def test_the_same_samples_give_the_same_weights() -> None:
    train, labels_N, _, _ = blobs(5)
    first, again = (logistic.fit(logistic.prepare_labels(train, labels_N), 1.0) for _ in range(2))
    np.testing.assert_array_equal(first.classifier.weight_DC, again.classifier.weight_DC)


def test_one_class_and_broken_features_are_refused() -> None:
    features = np.ones((4, 3), np.float32)
    with pytest.raises(UserError, match="all samples are of one class"):
        logistic.prepare_labels(features, np.zeros(4, np.int64))
    features[2, 1] = np.nan
    with pytest.raises(UserError, match="1 of 4 samples are not finite"):
        logistic.prepare_labels(features, np.arange(4))
