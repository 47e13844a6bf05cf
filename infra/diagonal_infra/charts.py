"""Line charts as inline SVG in the page's own colours.

SVG text and strokes name CSS classes of html_page.py, so charts follow its light or dark scheme and
each series its colour. All text is escaped here. The same numbers give the same bytes.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

MAX_LINE_POINTS = 600
NUM_COLOURS = 8
"""Colours of the style sheet; later series repeat them."""
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 260, 56, 14, 12, 40


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line: at least one point, all numbers finite, xs rising."""

    xs: Sequence[float]
    ys: Sequence[float]
    colour: int = 0
    """Index of the line's colour."""


def line_chart(
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    smooth: bool = True,
    log_x: bool = False,
) -> str:
    """Lines on common axes, thinned to what a screen can show, each with its moving median.

    With `log_x` equal factors lie equally far apart; all xs must then be above 0.
    """
    xs = [x for line in series for x in line.xs]
    ys = [y for line in series for y in line.ys]
    axes = Axes(xs, ys, log_x=log_x)
    parts = [axes.drawn(x_label, y_label)]
    for line in series:
        kind = f"c{line.colour % NUM_COLOURS}"
        points = [axes.place(line.xs[index], line.ys[index]) for index in _shown(len(line.xs))]
        parts.append(_polyline(points, f"raw {kind}" if smooth else f"curve {kind}"))
    # The thick lines come last: above all thin ones.
    for line in series if smooth else ():
        points = [
            axes.place(line.xs[index], median_around(line.ys, index))
            for index in _shown(len(line.xs))
        ]
        parts.append(_polyline(points, f"curve c{line.colour % NUM_COLOURS}"))
    return svg(WIDTH, HEIGHT, "".join(parts))


class Axes:
    """Where numbers lie on the picture."""

    def __init__(self, xs: Sequence[float], ys: Sequence[float], *, log_x: bool = False) -> None:
        self._along = math.log if log_x else float
        self._x_ticks = (log_ticks if log_x else nice_ticks)(min(xs), max(xs))
        self._y_ticks = nice_ticks(min(ys), max(ys))
        self._x_low, self._x_high = min(xs), max(max(xs), min(xs) + 1e-9)
        self._y_low, self._y_high = min(self._y_ticks[0], *ys), max(self._y_ticks[-1], *ys)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """The point of a pair of numbers."""
        left, right = self._along(self._x_low), self._along(self._x_high)
        across = (self._along(x) - left) / (right - left)
        up = (y - self._y_low) / ((self._y_high - self._y_low) or 1)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (
            HEIGHT - TOP - BOTTOM
        )

    def drawn(self, x_label: str, y_label: str) -> str:
        """Grid, ticks and names."""
        parts = []
        for tick in self._y_ticks:
            _, y = self.place(self._x_low, tick)
            parts.append(
                f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            )
            parts.append(_tick(LEFT - 8, y + 4, short_number(tick), "end"))
        parts += [
            _tick(
                self.place(tick, self._y_low)[0], HEIGHT - BOTTOM + 16, short_number(tick), "middle"
            )
            for tick in self._x_ticks
            if self._x_low <= tick <= self._x_high
        ]
        parts.append(_tick((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x_label, "middle"))
        parts.append(_tick(LEFT, TOP - 1, y_label, "start"))
        return "".join(parts)


def nice_ticks(low: float, high: float, target: int = 5) -> list[float]:
    """About `target` round numbers that span low to high; one number if they are equal."""
    if not high > low:
        return [low]
    raw = (high - low) / target
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if raw <= power * factor * 1.0001)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(index * step, 12) for index in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """The powers of two between low and high, or of ten where they span two decades."""
    base = 10 if high >= 100 * low else 2
    first, last = math.floor(math.log(low, base)), math.ceil(math.log(high, base))
    return [float(base) ** power for power in range(first, last + 1)]


def short_number(value: float) -> str:
    """`1.2M`, `30k`, `0.05`: for axes."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def median_around(values: Sequence[float], index: int) -> float:
    """The median of a value's surroundings, a 25th of all; fewer at the ends."""
    half = max(1, len(values) // 50)
    return statistics.median(values[max(0, index - half) : index + half + 1])


def svg(width: float, height: float, inner: str) -> str:
    """A chart as an element of a page."""
    size = f'viewBox="0 0 {width} {height}" width="{width}"'
    return f'<svg class="chart" {size} role="img">{inner}</svg>'


def _tick(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _polyline(points: Sequence[tuple[float, float]], kind: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="{kind}" points="{path}"/>'


def _shown(count: int) -> list[int]:
    """Which of so many points are drawn; the last is among them."""
    stride = max(1, -(-count // MAX_LINE_POINTS))
    return sorted({*range(0, count, stride), count - 1})
