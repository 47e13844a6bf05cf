from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.eval.conftest import COLOURS, jpeg
from tests.eval.evalsets import set_of

from diagonal_eval.embed import Encoder
from diagonal_eval.evalset import EvalSet
from diagonal_eval.features import FeatureStore
from diagonal_eval.suite.classification import measure_classification, texts_for
from diagonal_eval.suite.measured import Measured, Measuring
from diagonal_eval.suite.multilabel import measure_multilabel
from diagonal_infra.errors import UserError

NAMES = tuple(COLOURS)
HOW = Measuring(logit_scale=100.0, resamples=200)


def measured(evalset: EvalSet, encoder: Encoder, folder: Path, how: Measuring = HOW) -> Measured:
    store = FeatureStore(str(folder), encoder)
    measure = measure_multilabel if evalset.kind == "multilabel" else measure_classification
    known = set(texts_for(evalset, how))

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        assert known.issuperset(texts), "the suite embeds no others"
        return store.texts(texts)

    return measure(evalset, store.images(evalset), embed, how)


def squares(labels: list[int], shown: list[int], **facts: Any) -> EvalSet:
    pictures = [jpeg(COLOURS[NAMES[i]]) for i in shown]
    return set_of(pictures, class_names=NAMES, labels_N=labels, **facts)


def test_a_model_that_sees_colours_names_them_all(tmp_path: Path, colour_encoder: Encoder) -> None:
    found = measured(squares([*range(8)], [*range(8)]), colour_encoder, tmp_path)
    assert found.record["metrics"] == {"acc1": 1.0, "acc5": 1.0, "mean_per_class_recall": 1.0}
    low, high = found.record["ci95"]["acc1"]
    assert low == pytest.approx(0.6756, abs=1e-3)  # Wilson, 8 of 8
    assert high == 1.0
    assert found.record["per_template"]["a {}"]["acc1"] == 1.0
    assert found.record["bare_label"]["n"] == 8
    assert found.record["confusions"] == []
    assert found.predictions["confidence"].to_numpy().min() > 0.5


def test_what_is_confused_is_told_with_the_pictures(
    tmp_path: Path, colour_encoder: Encoder
) -> None:
    # Three pictures that are said to be green are red.
    found = measured(squares([0, 1, 1, 1, 2], [0, 0, 0, 0, 2]), colour_encoder, tmp_path)
    assert found.record["metrics"]["acc1"] == pytest.approx(0.4)
    assert found.record["metrics"]["mean_per_class_recall"] == pytest.approx(2 / 3)
    assert found.record["confusions"] == [
        {"truth": NAMES[1], "predicted": NAMES[0], "count": 3, "keys": ["p001", "p002", "p003"]}
    ]
    assert found.record["per_class"][NAMES[1]] == {"n": 3, "recall": 0.0}
    assert found.predictions["correct"].to_pylist() == [True, False, False, False, True]


def test_a_picture_that_cannot_be_read_is_wrong_even_for_the_first_class(
    tmp_path: Path, colour_encoder: Encoder
) -> None:
    pictures = [jpeg(COLOURS[NAMES[0]]), b"broken"]
    evalset = set_of(pictures, class_names=NAMES, labels_N=[0, 0])
    found = measured(evalset, colour_encoder, tmp_path)
    assert found.record["metrics"]["acc1"] == 0.5
    assert found.record["metrics"]["mean_per_class_recall"] == 0.5
    assert found.predictions["predicted"].to_pylist()[1] == "(unreadable)"
    assert found.record["confusions"] == []


def test_groups_have_their_own_shares_and_the_worst_counts(
    tmp_path: Path, colour_encoder: Encoder
) -> None:
    evalset = squares(
        [0, 1, 1, 2],
        [0, 1, 0, 2],
        groups={"region": ("north", "south", "south", "north")},
        metric="worst_group_acc1",
    )
    found = measured(evalset, colour_encoder, tmp_path)
    assert found.record["groups"]["region"]["north"]["acc1"] == 1.0
    assert found.record["groups"]["region"]["south"] == {
        "n": 2,
        "acc1": 0.5,
        "ci95": pytest.approx([0.0945, 0.9055], abs=1e-3),
    }
    assert found.record["metrics"]["worst_group_acc1"] == 0.5


def test_pictures_of_no_group_make_no_group(tmp_path: Path, colour_encoder: Encoder) -> None:
    evalset = squares(
        [0, 1, 1, 2],
        [0, 1, 0, 2],
        groups={"region": ("north", "south", "", "north")},
        metric="worst_group_acc1",
    )
    found = measured(evalset, colour_encoder, tmp_path)
    assert set(found.record["groups"]["region"]) == {"north", "south"}
    assert found.record["metrics"]["worst_group_acc1"] == 1.0
    assert found.record["metrics"]["acc1"] == 0.75


def test_other_kinds_of_classes_are_offered_to_every_group(
    tmp_path: Path, colour_encoder: Encoder
) -> None:
    groups = {"region": ("north",) * 10 + ("south",) * 10}
    pictures = [jpeg(COLOURS[NAMES[i % 2 + 2 * (i >= 10)]]) for i in range(20)]
    evalset = set_of(
        pictures, class_names=NAMES[:2], labels_N=[i % 2 for i in range(20)], groups=groups
    )
    how = replace(HOW, kinds={"other": NAMES[2:4]})
    designs = measured(evalset, colour_encoder, tmp_path, how).record["class_design"]
    assert set(designs) == {"as_given", "with_child"}
    shares = designs["as_given"]["kinds"]["other"]["groups"]["region"]
    assert shares["north"]["share"] == 0.0
    assert shares["south"]["share"] == 1.0
    assert "class_design" not in measured(evalset, colour_encoder, tmp_path).record


def test_two_classes_have_an_area_under_the_curve(tmp_path: Path, colour_encoder: Encoder) -> None:
    pictures = [jpeg(COLOURS[NAMES[i]]) for i in (0, 1, 0, 1)]
    evalset = set_of(pictures, class_names=NAMES[:2], labels_N=[0, 1, 0, 1], metric="roc_auc")
    assert measured(evalset, colour_encoder, tmp_path).record["metrics"]["roc_auc"] == 1.0


def test_a_set_of_one_class_has_no_area_and_no_surprise(
    tmp_path: Path, colour_encoder: Encoder
) -> None:
    pictures = [jpeg(COLOURS[NAMES[0]])] * 2
    one = set_of(pictures, class_names=NAMES[:1], labels_N=[0, 0])
    found = measured(one, colour_encoder, tmp_path)
    assert found.record["metrics"] == {"acc1": 1.0, "mean_per_class_recall": 1.0}
    assert found.record["chance"] == 1.0


def test_prompts_of_a_class_stand_in_place_of_templates(
    tmp_path: Path, colour_encoder: Encoder
) -> None:
    prompts = {name: (f"this is a {name}", f"{name}, as seen from above") for name in NAMES}
    evalset = squares([*range(8)], [*range(8)], prompts=prompts)
    found = measured(evalset, colour_encoder, tmp_path)
    assert found.record["metrics"]["acc1"] == 1.0
    assert found.record["per_template"] == {}
    del prompts[NAMES[3]]
    with pytest.raises(UserError, match="no prompts for 1 of 8 classes, for instance 'yellow"):
        measured(evalset, colour_encoder, tmp_path)


def test_a_set_without_templates_is_refused(tmp_path: Path, colour_encoder: Encoder) -> None:
    with pytest.raises(UserError, match="has no templates; give them"):
        measured(squares([0], [0], templates=()), colour_encoder, tmp_path)


def test_average_precision_ranks_pictures_for_every_class(
    tmp_path: Path, colour_encoder: Encoder
) -> None:
    truths = np.zeros((4, 8), bool)
    truths[[0, 1, 2], [0, 1, 2]] = True
    truths[3, 0] = True  # said to show red too, but it is magenta
    pictures = [jpeg(COLOURS[NAMES[i]]) for i in (0, 1, 2, 5)]
    evalset = set_of(
        pictures,
        kind="multilabel",
        class_names=NAMES[:3],
        multilabels_NC=truths[:, :3],
        metric="map",
    )
    found = measured(evalset, colour_encoder, tmp_path)
    per_class = {
        name: entry["average_precision"] for name, entry in found.record["per_class"].items()
    }
    assert per_class[NAMES[1]] == 1.0
    assert found.record["metrics"]["map"] == pytest.approx(np.mean(list(per_class.values())))
    assert found.predictions["truths"].to_pylist()[3] == [True, False, False]
    assert found.predictions["correct"].to_pylist()[:3] == [True] * 3
