"""How many are there? One to six copies of a thing against the other five numbers; chance 1/6.

The copies stand in cells of a 3 × 3 grid, moved a little; their size is drawn once a picture from
one range for all numbers, so that neither size nor place tells the number.
"""

from collections.abc import Iterator, Sequence
from random import Random

from PIL import Image

from diagonal_eval.evalset import EvalSet
from diagonal_eval.weak_spots.config import WeakSpotConfig
from diagonal_eval.weak_spots.page import Question, blank, dice_of_rounds, put, selection_set
from diagonal_eval.weak_spots.things import Thing

NUMBERS = ("one", "two", "three", "four", "five", "six")
CELLS = 3
SIZES = (0.55, 0.85)
"""Of a cell."""


def counting(config: WeakSpotConfig, things: Sequence[Thing], name: str) -> EvalSet:
    """Grouped by the right number."""
    return selection_set(name, _questions(config, things, name))


def _questions(config: WeakSpotConfig, things: Sequence[Thing], name: str) -> Iterator[Question]:
    for dice in dice_of_rounds(config, name, len(NUMBERS)):
        thing = dice.choice(things)
        captions = [
            f"{number} {thing.noun if number == 'one' else thing.plural}" for number in NUMBERS
        ]
        for count, (number, caption) in enumerate(zip(NUMBERS, captions, strict=True), start=1):
            yield Question(
                picture=copies(dice.choice(thing.looks), count, config.side, dice),
                captions=(caption, *(other for other in captions if other != caption)),
                groups={"number": number},
            )


def copies(look: Image.Image, count: int, side: int, dice: Random) -> Image.Image:
    """So many copies of one size that do not touch."""
    page, cell = blank(side), side / CELLS
    size = dice.uniform(*SIZES) * cell
    free = (cell - size) / 2 - 1
    for place in dice.sample(range(CELLS * CELLS), count):
        row, column = divmod(place, CELLS)
        x = (column + 0.5) * cell + dice.uniform(-free, free)
        y = (row + 0.5) * cell + dice.uniform(-free, free)
        put(page, look, (x, y), size)
    return page
