from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from tests.eval.conftest import COLOURS, colour_encoder, jpeg
from tests.eval.evalsets import set_of

from diagonal_eval.evalset import EvalSet
from diagonal_eval.features import FeatureStore
from diagonal_eval.probes.config import ProbeConfig
from diagonal_eval.probes.linear import measure_probe
from diagonal_infra.errors import UserError

NAMES = tuple(COLOURS)[:4]


def config(**changes: Any) -> ProbeConfig:
    given: dict[str, Any] = {"checkpoint": "a", "tasks": ("squares",), "output": "out"}
    given |= {"shots": (), "seeds": 3}
    return ProbeConfig(**given | changes)


def pictures(labels: list[int], seed: int, spread: float = 60) -> list[bytes]:
    """Squares around the colours of their classes, which overlap."""
    rng = np.random.default_rng(seed)
    colours = [np.array(COLOURS[NAMES[label]]) + rng.normal(size=3) * spread for label in labels]
    return [jpeg(tuple(int(v) for v in np.clip(colour, 0, 255))) for colour in colours]


def squares(split: str, labels: list[int], seed: int, **more: Any) -> EvalSet:
    given = more.pop("pictures", None) or pictures(labels, seed)
    return set_of(given, split=split, labels_N=labels, class_names=NAMES, **more)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(str(tmp_path / "cache"), colour_encoder())


def test_the_probe_is_scikit_learns_on_the_pooled_features(store: FeatureStore) -> None:
    labels = [0, 1, 2, 3] * 20
    train, test = squares("train", labels, 0), squares("test", labels, 1)
    measured = measure_probe(train, test, store, config())
    record = measured.record
    theirs = LogisticRegression(C=record["probe"]["c"], tol=1e-10, solver="newton-cholesky")
    theirs.fit(store.images(train).pooled_NP.astype(np.float64), labels)
    features = store.images(test).pooled_NP.astype(np.float64)
    table = measured.predictions.to_pydict()
    assert table["predicted"] == [NAMES[label] for label in theirs.predict(features)]
    confidence = theirs.predict_proba(features).max(axis=1)
    np.testing.assert_allclose(table["confidence"], confidence, atol=1e-3)
    assert record["metrics"]["acc1"] == pytest.approx(theirs.score(features, labels))
    low, high = record["ci95"]["acc1"]
    assert low < record["metrics"]["acc1"] < high
    assert record["probe"]["n_train"] == 80
    assert record["probe"]["n_validation"] == 16


def test_the_same_sets_give_the_same_record(store: FeatureStore) -> None:
    train, test = (squares(split, [0, 1, 2, 3] * 8, i) for i, split in enumerate(("train", "test")))
    first, again = (measure_probe(train, test, store, config(shots=(1, 2))) for _ in range(2))
    assert first.record == again.record
    assert first.predictions.equals(again.predictions)


def test_few_shots_are_a_curve_with_intervals(store: FeatureStore) -> None:
    train = squares("train", [0, 1, 2, 3] * 20 + [0, 0], 0)
    test = squares("test", [0, 1, 2, 3] * 10, 1)
    curve = measure_probe(train, test, store, config(shots=(1, 4, 17))).record["few_shot"]
    assert [point["shots"] for point in curve] == [1, 4, 17]
    assert [point["n_train"] for point in curve] == [4, 16, 17 + 3 * 16]
    assert [point["short_classes"] for point in curve] == [0, 0, 3]
    for point in curve:
        assert len(point["per_seed"]) == 3
        assert point["ci95"][0] <= point["value"] <= point["ci95"][1]
    assert curve[-1]["value"] > curve[0]["value"]


def test_unreadable_pictures_are_left_out_of_training_and_wrong_in_the_test(
    store: FeatureStore,
) -> None:
    labels = [0, 1, 2, 3] * 8
    broken = pictures(labels, 0, 5)
    broken[3] = broken[8] = b"no picture"
    train = squares("train", labels, 0, pictures=broken)
    test = squares("test", labels, 1, pictures=[b"", *pictures(labels, 1, 1)[1:]])
    measured = measure_probe(train, test, store, config(shots=(4,)))
    record = measured.record
    assert (record["unreadable"], record["unreadable_train"]) == (1, 2)
    assert record["probe"]["n_train"] == 30
    assert record["metrics"]["acc1"] == 31 / 32
    assert record["few_shot"][0]["value"] <= 31 / 32
    assert measured.predictions["predicted"][0].as_py() == "(unreadable)"


def test_a_class_without_training_pictures_is_never_predicted_and_counted(
    store: FeatureStore,
) -> None:
    train, test = squares("train", [0, 1, 3] * 10, 0), squares("test", [0, 1, 2, 3] * 5, 1)
    measured = measure_probe(train, test, store, config(shots=(2,)))
    assert measured.record["probe"]["classes_without_samples"] == 1
    assert NAMES[2] not in measured.predictions["predicted"].to_pylist()
    assert measured.record["per_class"][NAMES[2]]["recall"] == 0


def test_two_classes_are_told_apart(store: FeatureStore) -> None:
    sets = [
        set_of(pictures([0, 1] * 20, i), split=split, labels_N=[0, 1] * 20, class_names=NAMES[:2])
        for i, split in enumerate(("train", "test"))
    ]
    measured = measure_probe(sets[0], sets[1], store, config())
    assert measured.record["metrics"]["acc1"] > 0.9
    assert measured.record["metrics"]["roc_auc"] > 0.9
    assert min(measured.predictions["confidence"].to_pylist()) >= 0.5


def test_a_validation_split_of_its_own_chooses_c(store: FeatureStore) -> None:
    train, validation, test = (
        squares(split, [0, 1, 2, 3] * 6, i) for i, split in enumerate(("train", "val", "test"))
    )
    record = measure_probe(train, test, store, config(), validation=validation).record
    assert record["probe"]["n_validation"] == 24
    assert record["probe"]["n_train"] == 48


def test_several_labels_are_each_against_the_rest(store: FeatureStore) -> None:
    colours = [0, 1, 2, 3] * 10
    truths_NC = np.stack([np.isin(colours, which) for which in ([0, 1], [1, 2], [3], [9])], axis=1)
    sets = [
        set_of(
            pictures(colours, i, 5),
            split=split,
            kind="multilabel",
            metric="map",
            multilabels_NC=truths_NC,
            class_names=NAMES,
        )
        for i, split in enumerate(("train", "test"))
    ]
    measured = measure_probe(sets[0], sets[1], store, config())
    record = measured.record
    assert record["probe"]["classes_without_samples"] == 1
    precisions = [record["per_class"][name]["average_precision"] for name in NAMES]
    assert precisions[:3] == pytest.approx([1, 1, 1], abs=0.01)
    assert measured.predictions.num_columns == 8


def test_what_cannot_be_probed_is_refused(store: FeatureStore) -> None:
    train, test = squares("train", [0, 1, 2, 3] * 4, 0), squares("test", [0, 1, 2, 3], 1)
    with pytest.raises(UserError, match="one class"):
        measure_probe(squares("train", [2] * 8, 0), test, store, config())
    with pytest.raises(UserError, match="no class has two readable"):
        measure_probe(squares("train", [0, 1, 2, 3], 0), test, store, config())
    others = set_of(pictures([0], 0), labels_N=[0], class_names=NAMES[:3])
    with pytest.raises(UserError, match="classes of test are not those of train"):
        measure_probe(train, others, store, config())
    captions = set_of(pictures([0], 0), kind="retrieval", captions=(("a",),))
    with pytest.raises(UserError, match="a probe needs labels"):
        measure_probe(captions, test, store, config())


@pytest.mark.parametrize(
    ("field", "value"), [("tasks", ()), ("shots", (0,)), ("seeds", 0), ("batch_size", 0)]
)
def test_wrong_settings_are_refused(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"--{field.replace('_', '-')}"):
        config(**{field: value})
