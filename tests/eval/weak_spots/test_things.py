import numpy as np
import pytest
from tests.eval.weak_spots.oracle import components

from diagonal_eval.weak_spots.things import SHAPES, Thing, draw_shape, shape_things, with_article

# Of its own box: circle π/4, square 1, triangle 1/2, cross 1 − 4/9; star and heart as measured.
FILLED = {"circle": 0.785, "square": 1.0, "triangle": 0.5, "cross": 0.556}


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_one_patch_that_fills_what_it_should(name: str) -> None:
    alpha_HW = np.asarray(draw_shape(name, (9, 9, 9)).getchannel("A")) > 127
    assert len(components(alpha_HW)) == 1
    assert alpha_HW.mean() == pytest.approx(FILLED.get(name, alpha_HW.mean()), abs=0.02)


def test_shapes_differ_from_each_other() -> None:
    masks = [
        np.asarray(draw_shape(name, (0, 0, 0)).getchannel("A").resize((64, 64))) > 127
        for name in SHAPES
    ]
    for index, mask in enumerate(masks):
        assert all((mask != other).mean() > 0.1 for other in masks[:index])


def test_things_have_their_article_and_plural() -> None:
    assert with_article("owl") == "an owl"
    assert with_article("red owl") == "a red owl"
    assert Thing(noun="egg", plural="eggs", looks=()).one == "an egg"
    assert {thing.plural for thing in shape_things()} >= {"crosses", "stars"}
