"""Things that can be put on a page, and the plain shapes among them, drawn with Pillow alone."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

COLOURS = {
    "red": (220, 30, 30),
    "yellow": (245, 205, 20),
    "green": (30, 150, 50),
    "blue": (30, 70, 220),
    "purple": (130, 40, 160),
    "black": (20, 20, 20),
}
DRAWN_SIDE, SHAPE_SIDE = 768, 192
"""Shapes are drawn large and made smaller, which smooths their edges."""


@dataclass(frozen=True, kw_only=True)
class Thing:
    """What it is called, and some ways it looks."""

    noun: str
    plural: str
    looks: tuple[Image.Image, ...]
    """RGBA, cut to what is there."""

    @property
    def one(self) -> str:
        """`a cat`, `an owl`."""
        return with_article(self.noun)


def with_article(words: str) -> str:
    """By the first letter, which is right for all words that are used here."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def shape_things() -> list[Thing]:
    """Six shapes in six colours."""
    return [
        Thing(
            noun=name,
            plural="crosses" if name == "cross" else f"{name}s",
            looks=tuple(draw_shape(name, colour) for colour in COLOURS.values()),
        )
        for name in SHAPES
    ]


def draw_shape(name: str, colour: tuple[int, int, int]) -> Image.Image:
    """One shape of one colour on nothing."""
    mask = Image.new("L", (DRAWN_SIDE, DRAWN_SIDE), 0)
    painter = ImageDraw.Draw(mask)
    if name == "circle":
        painter.ellipse((0, 0, DRAWN_SIDE - 1, DRAWN_SIDE - 1), fill=255)
    else:
        painter.polygon([(x * DRAWN_SIDE, y * DRAWN_SIDE) for x, y in SHAPES[name]], fill=255)
    smooth = mask.resize((SHAPE_SIDE, SHAPE_SIDE), Image.Resampling.BOX)
    shape = Image.new("RGBA", smooth.size, (*colour, 255))
    shape.putalpha(smooth)
    return shape.crop(smooth.getbbox())


def _star() -> list[tuple[float, float]]:
    points = []
    for corner in range(10):
        radius, angle = (0.5, 0.2)[corner % 2], math.pi * (corner / 5 - 0.5)
        points.append((0.5 + radius * math.cos(angle), 0.5 + radius * math.sin(angle)))
    return points


def _heart() -> list[tuple[float, float]]:
    points = []
    for step in range(100):
        angle = 2 * math.pi * step / 100
        curve = [13, -5, -2, -1]
        high = sum(share * math.cos((k + 1) * angle) for k, share in enumerate(curve))
        points.append((0.5 + math.sin(angle) ** 3 / 2, 0.42 - high / 34))
    return points


SHAPES: Mapping[str, Sequence[tuple[float, float]]] = {
    "circle": (),
    "square": [(0.06, 0.06), (0.94, 0.06), (0.94, 0.94), (0.06, 0.94)],
    "triangle": [(0.5, 0.05), (1.0, 0.95), (0.0, 0.95)],
    "star": _star(),
    "cross": [
        *((0.33, 0), (0.67, 0), (0.67, 0.33), (1, 0.33), (1, 0.67), (0.67, 0.67)),
        *((0.67, 1), (0.33, 1), (0.33, 0.67), (0, 0.67), (0, 0.33), (0.33, 0.33)),
    ],
    "heart": _heart(),
}
"""Corners in the unit square; the circle has none."""
