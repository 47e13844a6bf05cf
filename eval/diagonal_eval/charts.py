"""Charts for the report: inline SVG in the page's own colours, heat maps as PNG.

SVG text and strokes name CSS variables of the page (`--ink`, `--accent`, …), so charts follow its
light or dark scheme. All text is escaped here.

Shape suffixes: N rows or columns of a matrix.
"""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diagonal_eval.intervals import Interval

COLOUR_ANCHORS = np.array(
    [(13, 8, 40), (62, 20, 103), (129, 37, 129), (197, 60, 109), (245, 112, 74), (252, 196, 110),
     (252, 253, 214)], dtype=np.float64,
)  # fmt: skip
"""Dark to light with rising lightness, so the scale also reads in grey."""
MAX_LINE_POINTS = 600
ROW_HEIGHT = 26
LABEL_WIDTH, BAR_WIDTH, VALUE_WIDTH = 190, 400, 130


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One horizontal bar."""

    label: str
    value: float
    text: str
    """Shown at the bar's end."""
    interval: Interval | None = None
    muted: bool = False
    """Drawn in grey: a reference, not a result."""


def bar_chart(bars: Sequence[Bar], *, maximum: float) -> str:
    """Horizontal bars from 0 to `maximum`, with whiskers where there is an interval."""
    width, height = LABEL_WIDTH + BAR_WIDTH + VALUE_WIDTH, ROW_HEIGHT * len(bars) + 6
    scale = BAR_WIDTH / maximum if maximum > 0 else 0.0
    rows = [_bar_row(bar, ROW_HEIGHT * index, scale) for index, bar in enumerate(bars)]
    axis = f'<line class="axis" x1="{LABEL_WIDTH}" x2="{LABEL_WIDTH}" y1="0" y2="{height - 4}"/>'
    return _svg(width, height, axis + "".join(rows))


def _bar_row(bar: Bar, top: int, scale: float) -> str:
    middle = top + ROW_HEIGHT / 2
    length = max(bar.value * scale, 1.5 if bar.value else 0)
    end = max(length, bar.interval[1] * scale if bar.interval else 0)
    kind = "bar muted" if bar.muted else "bar"
    parts = [
        f'<text class="label" x="{LABEL_WIDTH - 10}" y="{middle + 4:.1f}" text-anchor="end">'
        f"{escape(bar.label)}</text>",
        f'<rect class="{kind}" x="{LABEL_WIDTH}" y="{top + 5}" width="{length:.1f}" '
        f'height="{ROW_HEIGHT - 10}" rx="2"/>',
        f'<text class="value" x="{LABEL_WIDTH + end + 8:.1f}" y="{middle + 4:.1f}">'
        f"{escape(bar.text)}</text>",
    ]
    if bar.interval:
        low, high = (LABEL_WIDTH + bound * scale for bound in bar.interval)
        parts.append(
            f'<path class="whisker" d="M{low:.1f} {middle}H{high:.1f}'
            f'M{low:.1f} {middle - 4}v8M{high:.1f} {middle - 4}v8"/>'
        )
    return "".join(parts)


def line_chart(
    xs: Sequence[float], ys: Sequence[float], *, x_label: str, y_label: str, smooth: bool = True
) -> str:
    """A line over finite values, thinned to what a screen can show, with its moving median."""
    width, height, left, right, top, bottom = 720, 260, 56, 14, 12, 40
    x_ticks, y_ticks = nice_ticks(min(xs), max(xs)), nice_ticks(min(ys), max(ys))
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1e-9)
    y_low, y_high = min(y_ticks[0], *ys), max(y_ticks[-1], *ys)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / (x_high - x_low)
        up = (y - y_low) / ((y_high - y_low) or 1)
        return left + across * (width - left - right), height - bottom - up * (
            height - top - bottom
        )

    parts = []
    for tick in y_ticks:
        _, y = place(x_low, tick)
        parts.append(
            f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(_tick(left - 8, y + 4, short_number(tick), "end"))
    parts += [
        _tick(place(tick, y_low)[0], height - bottom + 16, short_number(tick), "middle")
        for tick in x_ticks
        if x_low <= tick <= x_high
    ]
    parts.append(_tick((left + width - right) / 2, height - 6, x_label, "middle"))
    parts.append(_tick(left, top - 1, y_label, "start"))
    points = [place(x, y) for x, y in zip(xs, ys, strict=True)]
    parts.append(_polyline(_thinned(points), "raw" if smooth else "curve"))
    if smooth:
        medians = [place(x, y) for x, y in zip(xs, _moving_median(ys), strict=True)]
        parts.append(_polyline(_thinned(medians), "curve"))
    return _svg(width, height, "".join(parts))


def nice_ticks(low: float, high: float, target: int = 5) -> list[float]:
    """About `target` round numbers that span low to high; one number if they are equal."""
    if not high > low:
        return [low]
    raw = (high - low) / target
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if raw <= power * factor * 1.0001)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(index * step, 12) for index in range(first, last + 1)]


def short_number(value: float) -> str:
    """`1.2M`, `30k`, `0.05`: for axes."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def heat_map_png(matrix_NN: NDArray[np.floating], *, low: float, high: float, cell: int) -> bytes:
    """Each entry a square of `cell` pixels, coloured from `low` (dark) to `high` (light)."""
    share = (matrix_NN.astype(np.float64) - low) / max(high - low, 1e-12)
    position = np.clip(share, 0, 1) * (len(COLOUR_ANCHORS) - 1)
    below = np.minimum(position.astype(int), len(COLOUR_ANCHORS) - 2)
    part = (position - below)[..., None]
    colours = COLOUR_ANCHORS[below] * (1 - part) + COLOUR_ANCHORS[below + 1] * part
    pixels = colours.round().astype(np.uint8).repeat(cell, axis=0).repeat(cell, axis=1)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def thumbnail(image: bytes, side: int) -> bytes | None:
    """A JPEG that fits into a square of `side` pixels; None if the picture cannot be read."""
    try:
        with Image.open(io.BytesIO(image)) as opened:
            small = opened.convert("RGB")
    except (OSError, ValueError):
        return None
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=85)
    return buffer.getvalue()


def data_uri(content: bytes, media_type: str) -> str:
    """The bytes as something a `src` can hold."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _svg(width: float, height: float, inner: str) -> str:
    size = f'viewBox="0 0 {width} {height}" width="{width}"'
    return f'<svg class="chart" {size} role="img">{inner}</svg>'


def _tick(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _polyline(points: Sequence[tuple[float, float]], kind: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="{kind}" points="{path}"/>'


def _thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    stride = -(-len(points) // MAX_LINE_POINTS)
    return [*points[::stride], points[-1]] if stride > 1 else points


def _moving_median(values: Sequence[float]) -> list[float]:
    half = max(1, len(values) // 50)
    return [
        float(np.median(values[max(0, index - half) : index + half + 1]))
        for index in range(len(values))
    ]
