from tests.eval.weak_spots.oracle import coloured, pixels

from diagonal_eval.weak_spots.binding import ColouredThing, binding
from diagonal_eval.weak_spots.config import WeakSpotConfig
from diagonal_eval.weak_spots.things import COLOURS, draw_shape

CONFIG = WeakSpotConfig(num_pictures=40, side=128)
CIRCLE_AND_CROSS = [
    ColouredThing(
        noun=shape,
        looks={name: (draw_shape(shape, colour),) for name, colour in COLOURS.items()},
    )
    for shape in ("circle", "cross")
]


def test_each_thing_has_the_colour_of_the_caption() -> None:
    evalset = binding(CONFIG, CIRCLE_AND_CROSS, "weak/test")
    assert evalset.captions is not None
    for page, (right, _) in zip(pixels(evalset), evalset.captions, strict=True):
        for words in right.removeprefix("a ").split(" and a "):
            colour, noun = words.split()
            own_HW = coloured(page, COLOURS[colour])
            ys, xs = own_HW.nonzero()
            filled = own_HW.sum() / (len(set(ys)) * len(set(xs)))
            # Of its own box a circle fills 0.79 and this cross 0.56.
            assert (filled > 0.67) == (noun == "circle"), right


def test_both_captions_have_the_same_words() -> None:
    evalset = binding(CONFIG, CIRCLE_AND_CROSS, "weak/test")
    assert evalset.captions is not None
    for right, wrong in evalset.captions:
        assert right != wrong
        assert sorted(right.split()) == sorted(wrong.split())


def test_the_first_thing_is_on_either_side() -> None:
    evalset = binding(CONFIG, CIRCLE_AND_CROSS, "weak/test")
    assert evalset.captions is not None
    corners = set()
    for page, (right, _) in zip(pixels(evalset), evalset.captions, strict=True):
        colour = COLOURS[right.split()[1]]
        ys, xs = coloured(page, colour).nonzero()
        corners.add((bool(ys.mean() < 56), bool(xs.mean() < 56), bool(ys.mean() > 72)))
    assert len(corners) == 4
