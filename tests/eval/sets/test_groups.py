import pytest

from diagonal_eval.sets.groups import groups_of
from diagonal_eval.sets.registry import TASKS
from diagonal_eval.sets.tars import TarSample
from diagonal_infra.errors import UserError

FMOW = TASKS["fmow"]


def test_columns_of_a_known_set_are_named() -> None:
    samples = [TarSample(key=str(i), npy=(float(i), 14.0 + i % 2, 3.0)) for i in (0, 3, 5)]
    groups = groups_of("here", samples, FMOW, "classification", {})
    assert groups == {"region": ("Asia", "Americas", ""), "year": ("14", "15", "15")}
    assert next(iter(groups)) == "region"


def test_attributes_in_json_go_before_columns() -> None:
    samples = [TarSample(key="a", json={"region": "north", "sensor": 3}, npy=(1.0, 2.0, 3.0))]
    assert groups_of("here", samples, FMOW, "classification", {})["region"] == ("north",)


def test_a_set_that_is_scored_by_group_needs_groups() -> None:
    with pytest.raises(UserError, match="does not say the region"):
        groups_of("here", [TarSample(key="a", cls="1")], FMOW, "classification", {})


def test_columns_that_are_no_numbers_of_groups_are_not_taken() -> None:
    camelyon = TASKS["camelyon17"]
    samples = [TarSample(key="a", npy=(0.0, 0.5, 1.0)), TarSample(key="b", npy=(0.0, 1.0, 1.0))]
    assert groups_of("here", samples, camelyon, "classification", {}) == {}


def test_of_an_unknown_set_attributes_that_make_groups_are_taken() -> None:
    samples = [
        TarSample(
            key=str(i),
            json={"region": "a" if i % 2 else None, "url": f"u{i}", "same": 1, "half": i > 1}
            | ({"rare": i} if i else {}),
        )
        for i in range(6)
    ]
    groups = groups_of("here", samples, None, "classification", {})
    assert set(groups) == {"region", "half"}
    assert groups["region"] == ("", "a") * 3
    assert groups["half"] == ("False", "False", "True", "True", "True", "True")


def test_an_unknown_set_without_attributes_has_no_groups() -> None:
    samples = [TarSample(key="a", json={"x": "1"}), TarSample(key="b")]
    assert groups_of("here", samples, None, "classification", {}) == {}
