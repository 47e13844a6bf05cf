import numpy as np
import pytest

from diagonal_data.filters.algebra import parse_algebra
from diagonal_infra.errors import UserError

LISTED = {
    "a": np.array([1, 0, 3, 0, 2]),
    "b": np.array([1, 1, 2, 0, 0]),
    "top-30": np.array([0, 0, 1, 1, 1]),
}


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("a", [1, 0, 3, 0, 2]),
        ("a & b", [1, 0, 2, 0, 0]),
        ("a&b", [1, 0, 2, 0, 0]),
        ("a | b", [1, 1, 3, 0, 2]),
        ("a - b", [0, 0, 0, 0, 2]),
        ("a - b | top-30", [0, 0, 1, 1, 2]),
        ("a | b & top-30", [1, 0, 3, 0, 2]),
        ("(a | b) & top-30", [0, 0, 1, 0, 1]),
        ("a - (b - top-30)", [0, 0, 3, 0, 2]),
    ],
)
def test_lists_are_combined_by_how_often_they_name_a_sample(text: str, times: list[int]) -> None:
    tree = parse_algebra(text)
    assert tree.times(LISTED).tolist() == times
    assert ((tree.reasons(LISTED) == "") == (tree.times(LISTED) > 0)).all()


def test_the_reason_names_the_filter_that_decides() -> None:
    reasons = parse_algebra("(a & b) - top-30").reasons(LISTED)
    assert reasons.tolist() == ["", "not in a", "in top-30", "not in a", "not in b"]


@pytest.mark.parametrize("text", ["", "a &", "& a", "(a", "a)", "a b", "a - - b", "()"])
def test_what_combines_nothing_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="no combination of filters"):
        parse_algebra(text)
