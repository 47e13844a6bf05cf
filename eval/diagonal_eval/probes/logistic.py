"""Logistic regression as in the CLIP paper's linear probe, with scikit-learn's objective.

    C · Σ losses of the samples + ½ · Σ weights²          the intercept is not penalised

Softmax over the classes, or a sigmoid for each class on its own. The minimum is scikit-learn's; the
way there is shorter (Radford et al., 2021, appendix A.3 use its L-BFGS):

    features ─ centre ─ rotate onto the principal axes ─ L-BFGS, the Hessian's diagonal known

Centring is undone in the intercept, and a rotation leaves the penalty as it is. On the principal
axes the Hessian of a class is at first nearly diagonal, p(1-p) times the variance plus the penalty,
so that tens of evaluations do where the plain method takes a hundred or more. (p is the class's
share; taken from the current step it vanishes where classes are separable, and steps fly off.)
Fewer samples than features span a smaller space, and only that is searched. Matrix products are
fp32, sums and steps fp64.

Shape suffixes: N samples, D features, R principal axes, C classes (1 if there are two and softmax),
W the R weights and the intercept.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from diagonal_eval.probes.lbfgs import Minimum, Point, minimise
from diagonal_infra.errors import UserError

Link = Literal["softmax", "sigmoid"]
Doubles = NDArray[np.float64]
CHUNK_ROWS = 2048
"""Samples whose logits are held at once: they stay in the processor's cache."""
AXES_ROWS = 4
"""Samples per feature that the principal axes are found from; more make no better ones."""
LEAST_LOG = -60.0
"""Below it probabilities would become denormal numbers, which make products many times slower."""
NOISE = {torch.float32: 1e-8, torch.float64: 1e-14}
"""Rounding error of a mean loss."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearClassifier:
    """Scores are features · weights + intercept."""

    weight_DC: Doubles
    intercept_C: Doubles

    def scores(self, features_ND: NDArray[np.floating]) -> Doubles:
        """One row of scores per sample."""
        return features_ND @ self.weight_DC + self.intercept_C


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """Samples made ready for `fit`; one serves any number of Cs."""

    features_NR: Tensor
    targets: Tensor
    """Labels N of a softmax with more than two classes, else truth N×C."""
    link: Link
    mean_D: Tensor
    axes_DR: Tensor
    variance_R: Tensor
    spread_C: Tensor
    """p(1-p) for the share p of the samples that are of the class."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """A minimum; `place` starts the fit of a neighbouring C."""

    classifier: LinearClassifier
    objective: float
    """C · Σ losses + ½ · Σ weights²."""
    place_WC: Tensor
    iterations: int
    evaluations: int
    converged: bool


def prepare_labels(
    features_ND: NDArray[np.floating],
    labels_N: NDArray[np.int64],
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Problem:
    """A problem of exclusive classes 0, 1, 2 …, each with a sample.

    Two classes become one sigmoid, as in scikit-learn: two columns would halve the penalty.

    Raises:
        UserError: a feature is not finite, or there are fewer than two classes.
    """
    counts_C = np.bincount(labels_N)
    if len(counts_C) < 2:
        raise UserError("all samples are of one class: there is nothing to tell apart")
    assert counts_C.min() > 0, "classes must be numbered without gaps"
    if len(counts_C) == 2:
        return prepare_truths(features_ND, labels_N[:, None] == 1, device=device, dtype=dtype)
    targets_N = torch.from_numpy(labels_N).to(device)
    return _prepare(features_ND, targets_N, counts_C, "softmax", dtype)


def prepare_truths(
    features_ND: NDArray[np.floating],
    truths_NC: NDArray[np.bool_],
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Problem:
    """A problem per column, true or not; each column has samples of both.

    Raises:
        UserError: a feature is not finite.
    """
    assert (truths_NC.any(axis=0) & ~truths_NC.all(axis=0)).all(), "a column has one value only"
    targets_NC = torch.from_numpy(truths_NC).to(device=device, dtype=dtype)
    return _prepare(features_ND, targets_NC, truths_NC.sum(axis=0), "sigmoid", dtype)


def _prepare(
    features_ND: NDArray[np.floating],
    targets: Tensor,
    counts_C: NDArray[np.integer],
    link: Link,
    dtype: torch.dtype,
) -> Problem:
    broken = int((~np.isfinite(features_ND)).any(axis=1).sum())
    if broken:
        raise UserError(
            f"features of {broken} of {len(features_ND)} samples are not finite: the model's "
            "weights are broken, or its features overflow; name another checkpoint"
        )
    mean_D = torch.from_numpy(features_ND.mean(axis=0, dtype=np.float64)).to(targets.device)
    given_ND = torch.from_numpy(np.ascontiguousarray(features_ND)).to(targets.device)
    centred_ND = (given_ND - mean_D).to(dtype)
    axes_DR, variance_R = _principal_axes(centred_ND)
    share_C = torch.from_numpy(counts_C / len(features_ND)).to(targets.device)
    return Problem(
        features_NR=centred_ND @ axes_DR.to(dtype),
        targets=targets,
        link=link,
        mean_D=mean_D,
        axes_DR=axes_DR,
        variance_R=variance_R,
        spread_C=share_C * (1 - share_C),
    )


def _principal_axes(centred_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormal axes that span all samples, and the variance along each."""
    num_samples, num_features = centred_ND.shape
    if num_samples < num_features:
        span_DN, coordinates_NN = torch.linalg.qr(centred_ND.double().T)
        gram_NN = coordinates_NN @ coordinates_NN.T / num_samples
        variance_N, rotation_NN = torch.linalg.eigh(gram_NN)
        return span_DN @ rotation_NN, variance_N.clamp_min(0)
    stride = max(1, num_samples // max(AXES_ROWS * num_features, CHUNK_ROWS))
    rows_ND = centred_ND[::stride]
    gram_DD = (rows_ND.T @ rows_ND).double() / len(rows_ND)
    variance_D, axes_DD = torch.linalg.eigh(gram_DD)
    return axes_DD, variance_D.clamp_min(0)


def fit(
    problem: Problem,
    c: float,
    *,
    start: Fit | None = None,
    max_iterations: int = 1000,
    tolerance: float = 3e-6,
) -> Fit:
    """The minimum for one C.

    Args:
        problem: the samples.
        c: weight of the losses against the penalty; scikit-learn's C.
        start: a fit of the same problem to another C; otherwise from zero.
        max_iterations: of L-BFGS.
        tolerance: largest share of the objective by which it may lie above the minimum, as
            estimated.
    """
    num_samples, num_axes = problem.features_NR.shape
    penalty = 1 / (c * num_samples)
    curvature_WC = torch.outer(F.pad(problem.variance_R, (0, 1), value=1.0), problem.spread_C)
    curvature_WC[:num_axes] += penalty
    # Without penalty the axes of no variance are flat; division needs something.
    floor = torch.finfo(torch.float32).eps * curvature_WC.max()
    found = minimise(
        lambda place_WC: _evaluate(problem, place_WC, penalty),
        torch.zeros_like(curvature_WC) if start is None else start.place_WC,
        curvature_WC.clamp_min(floor),
        max_iterations=max_iterations,
        tolerance=tolerance,
        noise=NOISE[problem.features_NR.dtype],
    )
    return _as_fit(problem, found, c)


def _as_fit(problem: Problem, found: Minimum, c: float) -> Fit:
    place_WC = found.point.place
    weight_DC = problem.axes_DR @ place_WC[:-1]
    intercept_C = place_WC[-1] - problem.mean_D @ weight_DC
    return Fit(
        classifier=LinearClassifier(
            weight_DC=weight_DC.cpu().numpy(), intercept_C=intercept_C.cpu().numpy()
        ),
        objective=found.point.value * c * len(problem.features_NR),
        place_WC=place_WC,
        iterations=found.iterations,
        evaluations=found.evaluations,
        converged=found.converged,
    )


def _evaluate(problem: Problem, place_WC: Tensor, penalty: float) -> Point:
    """Mean loss plus penalty, divided by C·N, and its derivatives."""
    features_NR = problem.features_NR
    weight_RC, intercept_C = place_WC.to(features_NR.dtype).split([len(place_WC) - 1, 1])
    gradient_WC = torch.zeros_like(place_WC)
    loss = torch.zeros((), dtype=torch.float64, device=place_WC.device)
    for rows in _chunks(len(features_NR)):
        logits_NC = torch.addmm(intercept_C, features_NR[rows], weight_RC)
        loss += _residuals(problem.link, logits_NC, problem.targets[rows])
        gradient_WC[:-1] += features_NR[rows].T @ logits_NC
        gradient_WC[-1] += logits_NC.sum(dim=0)
    gradient_WC /= len(features_NR)
    gradient_WC[:-1] += penalty * place_WC[:-1]
    value = loss / len(features_NR) + penalty / 2 * place_WC[:-1].square().sum()
    return Point(place=place_WC, value=float(value), gradient=gradient_WC)


def _residuals(link: Link, logits_NC: Tensor, targets: Tensor) -> Tensor:
    """Sum of the losses; leaves p - truth in `logits_NC`."""
    if link == "softmax":
        log_NC = F.log_softmax(logits_NC, dim=1)
        loss = -log_NC.gather(1, targets[:, None]).sum(dtype=torch.float64)
        torch.exp(log_NC.clamp_(min=LEAST_LOG), out=logits_NC)
        logits_NC.scatter_add_(1, targets[:, None], torch.full_like(logits_NC[:, :1], -1.0))
    else:
        loss = F.softplus(torch.where(targets > 0, -logits_NC, logits_NC)).sum(dtype=torch.float64)
        logits_NC.clamp_(min=LEAST_LOG).sigmoid_().sub_(targets)
    return loss


def _chunks(num_rows: int) -> Iterator[slice]:
    for start in range(0, num_rows, CHUNK_ROWS):
        yield slice(start, start + CHUNK_ROWS)
