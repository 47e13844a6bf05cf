"""Does the wording of the prompt matter? One set of pictures under paraphrased templates.

Each template is also measured alone; `diagonal_eval.spread` says how far they lie apart.
"""

from collections.abc import Sequence

from diagonal_eval.evalset import EvalSet
from diagonal_eval.weak_spots.config import WeakSpotConfig
from diagonal_eval.weak_spots.page import blank, classification_set, dice_of_rounds, put
from diagonal_eval.weak_spots.things import Thing

PARAPHRASES = (
    "{}",
    "a drawing of {}",
    "a picture of {}",
    "an image of {}",
    "an illustration of {}",
    "a sketch of {}",
    "clip art of {}",
    "an icon of {}",
    "a cartoon of {}",
    "this is {}",
    "here you can see {}",
    "{} on a white background",
)
"""Class names carry their article: `a cat`, `an owl`."""
SIZES = (0.6, 0.9)
"""Of the page."""


def wording(config: WeakSpotConfig, things: Sequence[Thing], name: str) -> EvalSet:
    """Every thing equally often, alone on a page; chance is one over the things."""
    pictures, labels = [], []
    for dice in dice_of_rounds(config, name, len(things)):
        for label, thing in enumerate(things):
            page = blank(config.side)
            size = dice.uniform(*SIZES) * config.side
            free = (config.side - size) / 2
            centre = [config.side / 2 + dice.uniform(-free, free) for _ in "xy"]
            put(page, dice.choice(thing.looks), (centre[0], centre[1]), size)
            pictures.append(page)
            labels.append(label)
    return classification_set(
        name,
        pictures,
        labels,
        class_names=[thing.one for thing in things],
        templates=PARAPHRASES,
    )
