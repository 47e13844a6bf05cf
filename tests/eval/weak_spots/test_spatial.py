import pytest
from tests.eval.weak_spots.oracle import coloured, components, inked, pixels

from diagonal_eval.evalset import EvalSet
from diagonal_eval.weak_spots.config import WeakSpotConfig
from diagonal_eval.weak_spots.sets import WEAK_SPOTS
from diagonal_eval.weak_spots.spatial import order, spatial
from diagonal_eval.weak_spots.things import COLOURS, Thing, draw_shape

THINGS = [
    Thing(noun=f"{name} circle", plural="", looks=(draw_shape("circle", COLOURS[name]),))
    for name in ("red", "green", "blue")
]
CONFIG = WeakSpotConfig(num_pictures=24, side=128)


def centre(page, noun: str) -> tuple[float, float]:
    """Of the pixels of a thing's own colour."""
    (found,) = components(coloured(page, COLOURS[noun.split()[0]]))
    return found


@pytest.mark.parametrize("probe", [spatial, order])
def test_things_are_where_the_caption_says(probe) -> None:
    evalset = probe(CONFIG, THINGS, "weak/test")
    for page, choice, relation in zip(
        pixels(evalset), evalset.captions, evalset.groups["relation"], strict=True
    ):
        first, second = choice[0].split(f" {relation} ")
        x, y = centre(page, first.removeprefix("a "))
        other_x, other_y = centre(page, second.removeprefix("a "))
        right, down = x - other_x, y - other_y
        is_so = {
            "above": down < 0 and abs(right) < -down / 2,
            "below": down > 0 and abs(right) < down / 2,
            "to the left of": right < 0 and abs(down) < -right / 2,
            "to the right of": right > 0 and abs(down) < right / 2,
        }
        assert is_so[relation], choice


def test_two_things_never_touch() -> None:
    for name in ("weak/spatial", "weak/order", "weak/binding"):
        evalset: EvalSet = WEAK_SPOTS[name](CONFIG)
        assert all(len(components(inked(page))) == 2 for page in pixels(evalset))


def test_no_wrong_caption_is_true_in_other_words() -> None:
    evalset = order(CONFIG, THINGS, "weak/test")
    assert evalset.captions is not None
    for right, wrong in evalset.captions:
        relation = next(r for r in (" above ", " below ", " left of ", " right of ") if r in right)
        assert relation in wrong
        assert sorted(right.split()) == sorted(wrong.split())
