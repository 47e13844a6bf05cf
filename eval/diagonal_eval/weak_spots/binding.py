"""Which colour belongs to which thing? Chance 1/2.

"a red square and a blue circle" against "a blue square and a red circle": both captions have the
same words, and both pictures the same colours and things.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from PIL import Image

from diagonal_eval.evalset import EvalSet
from diagonal_eval.weak_spots.config import WeakSpotConfig
from diagonal_eval.weak_spots.page import Question, blank, dice_of_rounds, put, selection_set
from diagonal_eval.weak_spots.things import with_article

SIZES = (0.32, 0.42)
"""Of the page."""
APART = 0.24
"""Distance of each from the middle, in pages."""


@dataclass(frozen=True, kw_only=True)
class ColouredThing:
    """A thing in colours: the same looks in each of them."""

    noun: str
    looks: Mapping[str, tuple[Image.Image, ...]]
    """By name of the colour."""


def binding(config: WeakSpotConfig, things: Sequence[ColouredThing], name: str) -> EvalSet:
    """Two things in two colours, and the other way round: pairs of pictures."""
    return selection_set(name, _questions(config, things, name))


def _questions(
    config: WeakSpotConfig, things: Sequence[ColouredThing], name: str
) -> Iterator[Question]:
    for number, dice in enumerate(dice_of_rounds(config, name, 2)):
        pair = dice.sample(things, 2)
        colours = dice.sample(list(pair[0].looks), 2)
        captions = (_caption(pair, colours), _caption(pair, colours[::-1]))
        for right, swapped in ((0, 1), (1, 0)):
            yield Question(
                picture=_picture(pair, colours[:: 1 - 2 * right], config.side, dice),
                captions=(captions[right], captions[swapped]),
                groups={"pair": str(number)},
            )


def _caption(pair: Sequence[ColouredThing], colours: Sequence[str]) -> str:
    first, second = (
        with_article(f"{colour} {thing.noun}") for thing, colour in zip(pair, colours, strict=True)
    )
    return f"{first} and {second}"


def _picture(
    pair: Sequence[ColouredThing], colours: Sequence[str], side: int, dice: Random
) -> Image.Image:
    """Side by side or one above the other, in either order."""
    page = blank(side)
    sign, upright = dice.choice((-1, 1)), dice.random() < 0.5
    for thing, colour in zip(pair, colours, strict=True):
        along, across = 0.5 + sign * APART, 0.5 + dice.uniform(-0.05, 0.05)
        x, y = (across, along) if upright else (along, across)
        look = dice.choice(thing.looks[colour])
        put(page, look, (x * side, y * side), dice.uniform(*SIZES) * side)
        sign = -sign
    return page
