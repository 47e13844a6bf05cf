"""Words in pictures.

    weak/text               "the word 'apple'" against seven other words: chance 1/8
    weak/typographic        a drawing of one thing with the name of another written on it:
                            "a drawing of a cat" against "a drawing of a dog", chance 1/2
    weak/typographic-clean  the same pictures without the writing

A model that reads rather than looks falls below chance in the second (Goh et al., 2021,
"Multimodal neurons in artificial neural networks"); the third says what the writing cost.
"""

from collections.abc import Iterator, Sequence
from random import Random

from PIL import Image, ImageDraw, ImageFont

from diagonal_eval.evalset import EvalSet
from diagonal_eval.weak_spots.config import WeakSpotConfig
from diagonal_eval.weak_spots.page import Question, blank, dice_of_rounds, put, selection_set
from diagonal_eval.weak_spots.things import COLOURS, Thing

NUM_WORDS = 8
"""Offered at a time."""
WORDS = (
    *("apple", "bread", "chair", "dance", "earth", "field", "glass", "house", "island", "jungle"),
    *("kitchen", "lemon", "mirror", "night", "ocean", "paper", "queen", "river", "stone", "table"),
    *("uncle", "voice", "water", "young", "bridge", "circle", "doctor", "engine", "flower"),
    *("garden", "hammer", "winter", "summer", "market", "number", "orange", "pencil", "rabbit"),
    *("school", "ticket", "window", "yellow", "animal", "bottle", "candle", "dinner", "family"),
    *("guitar", "honey", "letter"),
)
WORD_WIDTHS = (0.5, 0.85)
"""Of the page."""
MARGIN = 0.03
LABEL_WIDTH, LABEL_HEIGHT = 0.6, 0.2
"""At most, of the page."""
THING_SIZE = 0.85
PROBE_SIZE = 100
"""Of the font whose text is measured to find the size that fits."""


def text(config: WeakSpotConfig, name: str) -> EvalSet:
    """Single words in the font that Pillow carries."""
    return selection_set(name, _word_questions(config, name))


def typographic(
    config: WeakSpotConfig, things: Sequence[Thing], name: str, *, written: bool
) -> EvalSet:
    """Drawings with (`written`) or without the other thing's name; otherwise the same pictures."""
    return selection_set(name, _typographic_questions(config, things, name, written=written))


def _word_questions(config: WeakSpotConfig, name: str) -> Iterator[Question]:
    for dice in dice_of_rounds(config, name, NUM_WORDS):
        words = dice.sample(WORDS, NUM_WORDS)
        for word in words:
            others = [f"the word '{other}'" for other in words if other != word]
            yield Question(
                picture=_word_page(word, config.side, dice),
                captions=(f"the word '{word}'", *others),
            )


def _word_page(word: str, side: int, dice: Random) -> Image.Image:
    page = blank(side)
    width = dice.uniform(*WORD_WIDTHS) * side
    font = fitting_font(word, width, side / 2)
    free = max(0, (side - width) / 2 - MARGIN * side)
    centre = (side / 2 + dice.uniform(-free, free), side / 2 + dice.uniform(-0.2, 0.2) * side)
    colour = dice.choice(list(COLOURS.values()))
    ImageDraw.Draw(page).text(centre, word, fill=colour, font=font, anchor="mm")
    return page


def _typographic_questions(
    config: WeakSpotConfig, things: Sequence[Thing], name: str, *, written: bool
) -> Iterator[Question]:
    # The clean set rolls the dice of the written one, so that the same drawings stand in it.
    rounds = dice_of_rounds(config, name.removesuffix("-clean"), 2)
    for number, dice in enumerate(rounds):
        pair = dice.sample(things, 2)
        for shown, other in (pair, pair[::-1]):
            page = blank(config.side)
            middle = config.side / 2
            put(page, dice.choice(shown.looks), (middle, middle), THING_SIZE * config.side)
            height = dice.uniform(0.35, 0.65)
            if written:
                write_label(page, other.noun, (middle, height * config.side))
            yield Question(
                picture=page,
                captions=(f"a drawing of {shown.one}", f"a drawing of {other.one}"),
                groups={"pair": str(number)},
            )


def write_label(page: Image.Image, word: str, centre: tuple[float, float]) -> None:
    """Black on a white label with a black edge."""
    side = page.width
    font = fitting_font(word, LABEL_WIDTH * side, LABEL_HEIGHT * side)
    painter = ImageDraw.Draw(page)
    left, top, right, bottom = painter.textbbox(centre, word, font=font, anchor="mm")
    edge = 0.025 * side
    box = (left - edge, top - edge, right + edge, bottom + edge)
    painter.rectangle(box, fill="white", outline="black", width=max(1, side // 112))
    painter.text(centre, word, fill="black", font=font, anchor="mm")


def fitting_font(
    word: str, max_width: float, max_height: float
) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, as large as the word may be."""
    left, top, right, bottom = ImageFont.load_default(PROBE_SIZE).getbbox(word)
    scale = min(max_width / (right - left), max_height / (bottom - top))
    return ImageFont.load_default(max(1, int(PROBE_SIZE * scale)))
