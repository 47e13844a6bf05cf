"""The demo's held-out drawings of simple things, as they lie in its dataset.

Of the held-out styles and of concepts that the demo was trained on in other styles: a probe is to
ask for the number or the place of a thing, not whether its name is known. A drawing counts if its
background is white, because it is put on a white page.
"""

import io
from collections import defaultdict

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from diagonal_eval.dataset import iterate_images, open_dataset, read_all_samples
from diagonal_eval.demo_tasks import match_drawings, read_labels
from diagonal_eval.sets.config import AbsentSetError
from diagonal_eval.weak_spots.config import WeakSpotConfig
from diagonal_eval.weak_spots.things import Thing
from diagonal_infra import storage
from diagonal_infra.errors import UserError

NOUNS = {
    **{
        label: label
        for label in (
            *(
                "airplane",
                "anchor",
                "backpack",
                "balloon",
                "banana",
                "bell",
                "bicycle",
                "butterfly",
            ),
            *("cactus", "camera", "candle", "carrot", "castle", "cat", "chair", "cookie", "cow"),
            *("crab", "crown", "dog", "doughnut", "egg", "elephant", "frog", "ghost", "giraffe"),
            *("guitar", "hamburger", "hammer", "house", "key", "kite", "lemon", "mushroom"),
            *("octopus", "owl", "pear", "penguin", "pig", "pineapple", "pretzel", "rabbit"),
            *("robot", "rocket", "sailboat", "snail", "snowman", "strawberry", "telephone"),
            *("television", "tent", "tomato", "tractor", "trumpet", "tulip", "turtle", "umbrella"),
            *("violin", "whale"),
        )
    },
    "red apple": "apple",
    "automobile": "car",
}
"""Labels of the demo and what the thing is called in a sentence; all can be counted."""
PLURALS = {
    "butterfly": "butterflies",
    "cactus": "cactuses",
    "octopus": "octopuses",
    "snowman": "snowmen",
    "strawberry": "strawberries",
    "tomato": "tomatoes",
}
"""Those that do not simply end in s."""
LEAST_WHITE = 244
"""Of all colours along the border; JPEG does not keep 255."""
LEAST_THINGS = 8
CUT_OUT_SIDE = 128
"""Pillow fills pixel by pixel in Python: a larger drawing takes long and is made smaller anyway."""
FILLED = 0
"""Grey that marks what was filled; black in the drawing is made one level lighter."""
DARKEST = 0.35
"""Of the colour that black becomes."""


def drawn_things(config: WeakSpotConfig) -> list[Thing]:
    """All simple things with a drawing on white, sorted by noun; looks sorted by style.

    Raises:
        AbsentSetError: there is no dataset.
        UserError: there are no labels, or hardly a drawing.
    """
    if not storage.exists(storage.join(config.data, "manifest.json")):
        raise AbsentSetError(
            f"no drawings at {config.data!r}: 'make demo' builds them, or name another folder with "
            "--data; the probes without -drawings in their name need none"
        )
    labels = [label for label in read_labels(config.labels) if label.label in NOUNS]
    dataset = open_dataset(config.data)
    chosen = [
        drawing
        for drawing in match_drawings(labels, read_all_samples(dataset))
        if drawing.truth.held_out_style and not drawing.truth.held_out_concept
    ]
    looks: dict[str, dict[str, Image.Image]] = defaultdict(dict)
    images = iterate_images(dataset, [drawing.sample for drawing in chosen])
    for drawing, image in zip(chosen, images, strict=True):
        look = on_white(image)
        if look is not None:
            looks[NOUNS[drawing.truth.label]][drawing.truth.style] = look
    if len(looks) < LEAST_THINGS:
        raise UserError(
            f"{config.data!r} holds held-out drawings of {len(looks)} simple things, but the "
            f"probes need {LEAST_THINGS}; build the whole demo with 'make demo'"
        )
    return [
        Thing(
            noun=noun,
            plural=PLURALS.get(noun, f"{noun}s"),
            looks=tuple(look for _, look in sorted(looks[noun].items())),
        )
        for noun in sorted(looks)
    ]


def on_white(encoded: bytes) -> Image.Image | None:
    """The drawing without its white border; None if the border is not white, or all is."""
    with Image.open(io.BytesIO(encoded)) as image:
        picture = image.convert("RGB")
    rgb_HWC = np.asarray(picture)
    border = (rgb_HWC[0], rgb_HWC[-1], rgb_HWC[:, 0], rgb_HWC[:, -1])
    if min(int(edge.min()) for edge in border) < LEAST_WHITE:
        return None
    inked = Image.fromarray((rgb_HWC.min(axis=2) < LEAST_WHITE).astype(np.uint8) * 255)
    box = inked.getbbox()
    return None if box is None else picture.crop(box).convert("RGBA")


def cut_out(look: Image.Image) -> Image.Image:
    """The drawing without the white around it, smaller; white that it encloses stays."""
    small = look.convert("RGB")
    small.thumbnail((CUT_OUT_SIDE, CUT_OUT_SIDE), Image.Resampling.LANCZOS)
    framed = ImageOps.expand(small, border=1, fill=(255, 255, 255))
    grey = framed.convert("L").point([max(level, FILLED + 1) for level in range(256)])
    ImageDraw.floodfill(grey, (0, 0), FILLED, thresh=255 - LEAST_WHITE)
    framed.putalpha(grey.point([0 if level == FILLED else 255 for level in range(256)]))
    return framed


def tinted(look: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """The same drawing in light and dark tones of one colour."""
    grey = ImageOps.autocontrast(look.convert("L"))
    dark = tuple(round(DARKEST * level) for level in colour)
    result = ImageOps.colorize(grey, black=dark, white=colour).convert("RGBA")
    result.putalpha(look.getchannel("A"))
    return result
