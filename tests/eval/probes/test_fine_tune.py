from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.eval.conftest import COLOURS, colour_encoder, jpeg
from tests.eval.evalsets import set_of

from diagonal_eval.evalset import EvalSet
from diagonal_eval.features import FeatureStore
from diagonal_eval.probes.config import FineTuneConfig
from diagonal_eval.probes.fine_tune import FineTuned, fine_tune
from diagonal_eval.suite.classification import ensemble_classifier
from diagonal_eval.zeroshot import predict
from diagonal_infra.errors import DiagonalError, UserError
from diagonal_train.config.optimizer import OptimizerConfig

NAMES = tuple(COLOURS)[:4]
SWAPPED = (1, 0, 3, 2)
"""What zero-shot gets wrong: each name stands for another's colour."""


def config(**changes: Any) -> FineTuneConfig:
    given: dict[str, Any] = {"checkpoint": "a", "task": "squares", "output": "out"}
    given |= {"optimizer": OptimizerConfig(lr=0.2, weight_decay=0.0, warmup_steps=2)}
    given |= {"epochs": 40, "batch_size": 8}
    return FineTuneConfig(**given | changes)


def squares(split: str, n: int, seed: int, names: tuple[str, ...] = NAMES) -> EvalSet:
    rng = np.random.default_rng(seed)
    labels = [row % len(names) for row in range(n)]
    shown = [NAMES[SWAPPED[NAMES.index(names[label])]] for label in labels]
    colours = [np.array(COLOURS[name]) + rng.normal(size=3) * 20 for name in shown]
    pictures = [jpeg(tuple(int(v) for v in np.clip(colour, 0, 255))) for colour in colours]
    return set_of(
        pictures, name=f"squares-{split}", split=split, labels_N=labels, class_names=names
    )


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(str(tmp_path / "cache"), colour_encoder())


def run(store: FeatureStore, **changes: Any) -> FineTuned:
    shift = squares("shift", 9, 2, NAMES[:3])
    return fine_tune(
        squares("train", 24, 0), squares("test", 16, 1), store, config(**changes), [shift]
    )


def test_fine_tuning_learns_what_zero_shot_gets_wrong(store: FeatureStore) -> None:
    record = run(store).record
    curve = record["curves"]["squares-test"]
    assert curve["acc1"][0] < 0.5
    assert curve["acc1"][-1] == 1.0
    assert record["losses"][-1] < record["losses"][0]
    assert len(curve["acc1"]) == len(curve["ci95"]) == len(record["alphas"]) == 11
    for value, (low, high) in zip(curve["acc1"], curve["ci95"], strict=True):
        assert low <= value <= high
    assert record["curves"]["squares-shift"]["n"] == 9


def test_the_curve_starts_at_zero_shot_exactly(store: FeatureStore) -> None:
    train, test = squares("train", 24, 0), squares("test", 16, 1)
    assert test.labels_N is not None
    classifier_CD = ensemble_classifier(train, store.texts)
    answers = predict(store.images(test).embedding_ND, classifier_CD, test.labels_N)
    curve = fine_tune(train, test, store, config(epochs=1)).record["curves"]["squares-test"]
    assert curve["acc1"][0] == answers.accuracy(1).value


def test_the_ends_are_measured_with_their_own_weights(store: FeatureStore) -> None:
    both = run(store, alphas=(0.0, 1.0)).record["curves"]
    alone = [run(store, alphas=(alpha,)).record["curves"] for alpha in (0.0, 1.0)]
    for name, curve in both.items():
        assert curve["acc1"] == [curves[name]["acc1"][0] for curves in alone]


def test_the_same_seed_gives_the_same_numbers(store: FeatureStore) -> None:
    first, again, other = run(store), run(store), run(store, seed=1)
    assert first.record == again.record
    for name, weight in first.tuned.items():
        assert torch.equal(weight, again.tuned[name])
    assert first.record["losses"] != other.record["losses"]


def test_the_encoder_keeps_its_weights(store: FeatureStore) -> None:
    before = {k: v.clone() for k, v in store.encoder.model.state_dict().items()}
    found = run(store)
    for name, weight in store.encoder.model.state_dict().items():
        assert torch.equal(weight, before[name])
    assert not torch.equal(found.tuned["head_CD"], found.zero_shot["head_CD"])


def test_pictures_that_cannot_be_read_are_counted_and_wrong(store: FeatureStore) -> None:
    train = squares("train", 24, 0)
    shown = [b"", *(jpeg(COLOURS[NAMES[SWAPPED[label]]]) for label in (1, 2, 3))]
    test = set_of(shown, labels_N=[0, 1, 2, 3], class_names=NAMES)
    curve = fine_tune(train, test, store, config()).record["curves"]["squares"]
    assert curve["unreadable"] == 1
    assert curve["acc1"][-1] == 0.75


def test_other_classes_and_diverging_weights_are_refused(store: FeatureStore) -> None:
    train, test = squares("train", 24, 0), squares("test", 16, 1)
    with pytest.raises(UserError, match=r"1 of 4 classes .* for instance 'yellow square'"):
        fine_tune(squares("train", 24, 0, NAMES[:3]), test, store, config())
    captions = set_of([jpeg((0, 0, 0))], kind="retrieval", captions=(("a",),))
    with pytest.raises(UserError, match="fine-tuning needs labels"):
        fine_tune(train, captions, store, config())
    wild = OptimizerConfig(lr=1e38, warmup_steps=0)
    with pytest.raises(DiagonalError, match=r"loss is nan at step .*lower --optimizer.lr"):
        fine_tune(train, test, store, config(optimizer=wild))


@pytest.mark.parametrize("alphas", [(), (0.5, 0.1), (0.0, 1.5)])
def test_wrong_alphas_are_refused(alphas: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="--alphas"):
        config(alphas=alphas)
