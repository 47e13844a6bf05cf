"""Which of two things is where?

    weak/spatial   "a cat above a dog" against below, to the left of, to the right of: chance 1/4
    weak/order     "a cat above a dog" against "a dog above a cat": chance 1/2

They are two sets because one would give the answer away: among four relations and one swapped
order, the relation that is named twice is the right one.
"""

from collections.abc import Iterator, Sequence
from random import Random

from PIL import Image

from diagonal_eval.evalset import EvalSet
from diagonal_eval.weak_spots.config import WeakSpotConfig
from diagonal_eval.weak_spots.page import Question, blank, dice_of_rounds, put, selection_set
from diagonal_eval.weak_spots.things import Thing

RELATIONS = {
    "above": (0, -1),
    "below": (0, 1),
    "to the left of": (-1, 0),
    "to the right of": (1, 0),
}
"""Where the first thing is, seen from the middle of the page."""
SIZES = (0.3, 0.4)
"""Of the page."""
APART = 0.24
"""Distance of each from the middle, in pages."""
ASIDE = 0.05


def spatial(config: WeakSpotConfig, things: Sequence[Thing], name: str) -> EvalSet:
    """Four relations of one pair, grouped by the right one."""
    return selection_set(name, _relations(config, things, name))


def order(config: WeakSpotConfig, things: Sequence[Thing], name: str) -> EvalSet:
    """One relation of one pair both ways, grouped by the relation and in pairs of pictures."""
    return selection_set(name, _orders(config, things, name))


def _relations(config: WeakSpotConfig, things: Sequence[Thing], name: str) -> Iterator[Question]:
    for dice in dice_of_rounds(config, name, len(RELATIONS)):
        first, second = dice.sample(things, 2)
        captions = {relation: f"{first.one} {relation} {second.one}" for relation in RELATIONS}
        for relation, caption in captions.items():
            yield Question(
                picture=pair(first, second, relation, config.side, dice),
                captions=(caption, *(other for other in captions.values() if other != caption)),
                groups={"relation": relation},
            )


def _orders(config: WeakSpotConfig, things: Sequence[Thing], name: str) -> Iterator[Question]:
    for number, dice in enumerate(dice_of_rounds(config, name, 2)):
        ways = dice.sample(things, 2)
        relation = dice.choice(list(RELATIONS))
        for first, second in (ways, ways[::-1]):
            yield Question(
                picture=pair(first, second, relation, config.side, dice),
                captions=(
                    f"{first.one} {relation} {second.one}",
                    f"{second.one} {relation} {first.one}",
                ),
                groups={"relation": relation, "pair": str(number)},
            )


def pair(first: Thing, second: Thing, relation: str, side: int, dice: Random) -> Image.Image:
    """Two things that do not touch, on a line with the middle of the page, moved a little."""
    page = blank(side)
    right, down = RELATIONS[relation]
    for thing, sign in ((first, 1), (second, -1)):
        aside = dice.uniform(-ASIDE, ASIDE)
        x = 0.5 + sign * right * APART + (aside if right == 0 else 0)
        y = 0.5 + sign * down * APART + (aside if down == 0 else 0)
        put(page, dice.choice(thing.looks), (x * side, y * side), dice.uniform(*SIZES) * side)
    return page
