"""Fine-tuning from the zero-shot classifier, and the way back: WiSE-FT.

    zero-shot weights ─ AdamW, end to end ─► fine-tuned weights
            └──── (1 - alpha) · zero-shot + alpha · fine-tuned ────┘  accuracy at each alpha

Fine-tuning gains on the set it learns and loses on shifts of it; weights between the two often are
better on both (Wortsman et al., 2021, arXiv:2109.01903). alpha is not chosen here: the curve is the
result, and 0.5 is what the paper takes where nothing chooses.

Shape suffixes: N samples, B batch, C classes, A alphas.
"""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from diagonal_eval.embed import Encoder
from diagonal_eval.evalset import EvalSet
from diagonal_eval.features import FeatureStore
from diagonal_eval.intervals import Rate
from diagonal_eval.probes.classifier import ImageClassifier, Weights, interpolated
from diagonal_eval.probes.config import FineTuneConfig
from diagonal_eval.probes.pictures import batches_in_order, batches_per_pass, shuffled_batches
from diagonal_eval.suite.classification import ensemble_classifier
from diagonal_eval.zeroshot import rank_logits
from diagonal_infra.errors import DiagonalError, UserError
from diagonal_train.updating.lr_schedule import lr_at
from diagonal_train.updating.optimizer import build_optimizer, set_lr

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class FineTuned:
    """What came of it."""

    record: dict[str, Any]
    """For results.json."""
    zero_shot: Weights
    tuned: Weights


def fine_tune(
    train: EvalSet,
    target: EvalSet,
    store: FeatureStore,
    config: FineTuneConfig,
    shifts: Sequence[EvalSet] = (),
) -> FineTuned:
    """Learn `train`, then measure `target` and `shifts` along the line between the weights.

    The same seed gives the same numbers on the same kind of device.

    Raises:
        UserError: a set has no labels, or classes that `train` does not have.
        DiagonalError: the loss is not finite.
    """
    sets = [target, *shifts]
    columns = [columns_of(train, one) for one in sets]
    encoder = store.encoder
    classifier = ImageClassifier(encoder, ensemble_classifier(train, store.texts))
    zero_shot = classifier.weights()
    losses = learn(classifier, encoder, train, config)
    tuned = classifier.weights()
    curves = {
        one.name: measure_curve(classifier, encoder, one, column_C, zero_shot, tuned, config)
        for one, column_C in zip(sets, columns, strict=True)
    }
    record = {
        "target": target.name,
        "alphas": list(config.alphas),
        "curves": curves,
        "losses": losses,
        "seed": config.seed,
        "encoder_digest": encoder.digest,
        "train_digest": train.digest,
    }
    return FineTuned(record=record, zero_shot=zero_shot, tuned=tuned)


def learn(
    classifier: ImageClassifier, encoder: Encoder, train: EvalSet, config: FineTuneConfig
) -> list[float]:
    """Train in place; the mean loss of each pass."""
    assert train.labels_N is not None
    labels_N = torch.from_numpy(train.labels_N).to(encoder.device)
    total_steps = config.epochs * batches_per_pass(train, config.batch_size)
    warmup_steps = min(config.optimizer.warmup_steps, total_steps // 5)
    how = dataclasses.replace(config.optimizer, warmup_steps=warmup_steps)
    optimizer = build_optimizer(classifier, how)
    parameters = [weight for group in optimizer.param_groups for weight in group["params"]]
    torch.manual_seed(config.seed)
    classifier.train()
    step, means = 0, []
    for epoch in range(config.epochs):
        losses: list[float] = []
        for batch in shuffled_batches(
            encoder, train, config.batch_size, seed=config.seed, epoch=epoch
        ):
            set_lr(optimizer, lr_at(step, config=how, total_steps=total_steps))
            step += 1
            if not len(batch.rows_B):
                continue
            loss = F.cross_entropy(classifier(batch.images_BCHW), labels_N[batch.rows_B])
            if not loss.isfinite():
                keys = ", ".join(train.keys[row] for row in batch.rows_B[:8])
                raise DiagonalError(
                    f"loss is {loss.item()} at step {step} (pictures {keys} …); lower "
                    f"--optimizer.lr, now {config.optimizer.lr:g}"
                )
            optimizer.zero_grad()
            loss.backward()
            if how.clip_grad_norm is not None:
                torch.nn.utils.clip_grad_norm_(parameters, how.clip_grad_norm)
            optimizer.step()
            losses.append(loss.item())
        means.append(float(np.mean(losses)) if losses else 0.0)
        logger.info("epoch=%d of=%d loss=%.4f", epoch + 1, config.epochs, means[-1])
    classifier.eval()
    return means


def measure_curve(
    classifier: ImageClassifier,
    encoder: Encoder,
    evalset: EvalSet,
    column_C: NDArray[np.int64],
    zero_shot: Weights,
    tuned: Weights,
    config: FineTuneConfig,
) -> Mapping[str, Any]:
    """Accuracy of a set at every alpha; its pictures are decoded once."""
    truth_N = evalset.labels_N
    assert truth_N is not None
    # A picture that cannot be read stays wrong.
    wrong_AN = np.ones((len(config.alphas), len(truth_N)), np.bool_)
    read = 0
    for batch in batches_in_order(encoder, evalset, config.batch_size):
        if not len(batch.rows_B):
            continue
        read += len(batch.rows_B)
        for place, alpha in enumerate(config.alphas):
            classifier.load(interpolated(zero_shot, tuned, alpha))
            with torch.inference_mode():
                logits_BC = classifier(batch.images_BCHW)[:, column_C].cpu().numpy()
            wrong_AN[place, batch.rows_B] = rank_logits(logits_BC, truth_N[batch.rows_B]).rank_N > 0
    rates = [Rate(successes=int((~wrong_N).sum()), n=len(truth_N)) for wrong_N in wrong_AN]
    return {
        "n": len(truth_N),
        "unreadable": len(truth_N) - read,
        "acc1": [rate.value for rate in rates],
        "ci95": [list(rate.interval) for rate in rates],
        "set_digest": evalset.digest,
    }


def columns_of(train: EvalSet, evalset: EvalSet) -> NDArray[np.int64]:
    """The logits of `train`'s classifier that a set with some of its classes asks for.

    Raises:
        UserError: it has other classes, or one of the two has no labels.
    """
    for one in (train, evalset):
        if one.kind != "classification":
            raise UserError(f"set {one.name!r} is of kind {one.kind}: fine-tuning needs labels")
    column_of = {name: column for column, name in enumerate(train.class_names)}
    unknown = [name for name in evalset.class_names if name not in column_of]
    if unknown:
        raise UserError(
            f"set {evalset.name!r}: {len(unknown)} of {len(evalset.class_names)} classes are not "
            f"among those of {train.name!r}, for instance {unknown[0]!r}"
        )
    return np.array([column_of[name] for name in evalset.class_names], np.int64)
