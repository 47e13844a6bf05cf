from typing import Any

import numpy as np
import pytest
from tests.eval.evalsets import set_of

from diagonal_infra.errors import UserError

TWO = {"class_names": ("cat", "dog"), "labels_N": [0, 1, 1]}


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"class_names": ("cat",)}, "labels go from 0 to 1, but there are 1 class names"),
        ({"class_names": ()}, "has no class names"),
        ({"labels_N": [0, 1]}, "has 2 labels for 3 pictures"),
        ({"labels_N": [0, -1, 1]}, "labels go from -1 to 1"),
        ({"templates": ("a photo",)}, "template 'a photo' has no {}"),
        ({"keys": ("a", "a", "b")}, "two pictures of one key"),
        ({"groups": {"tone": ("dark",)}}, "has 1 values of 'tone' for 3"),
        (
            {"kind": "multilabel", "multilabels_NC": np.zeros((3, 3), bool)},
            "labels are (3, 3) for 3 pictures, 2 names",
        ),
        ({"kind": "retrieval", "captions": (("a",), (), ("b",))}, "1 pictures have fewer than 1"),
        ({"kind": "selection", "captions": (("a",), ("b", "c"), ("b",))}, "2 pictures have fewer"),
    ],
)
def test_a_set_that_contradicts_itself_is_refused(facts: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as refused:
        set_of([b"1", b"2", b"3"], **(TWO | facts))
    assert said in str(refused.value)


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(UserError, match="holds no picture"):
        set_of([], class_names=("cat",), labels_N=[])
