"""Bars, heat maps and thumbnails for the report; line charts are diagonal_infra/charts.py's.

SVG text and strokes name CSS variables of the page (`--ink`, `--accent`, …), so charts follow its
light or dark scheme. All text is escaped here.

Shape suffixes: N rows or columns of a matrix.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diagonal_eval.intervals import Interval
from diagonal_infra.charts import svg

COLOUR_ANCHORS = np.array(
    [(13, 8, 40), (62, 20, 103), (129, 37, 129), (197, 60, 109), (245, 112, 74), (252, 196, 110),
     (252, 253, 214)], dtype=np.float64,
)  # fmt: skip
"""Dark to light with rising lightness, so the scale also reads in grey."""
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
    return svg(width, height, axis + "".join(rows))


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


def colours(matrix_NN: NDArray[np.floating], *, low: float, high: float) -> NDArray[np.uint8]:
    """Each entry as red, green and blue, from `low` (dark) to `high` (light)."""
    share = (matrix_NN.astype(np.float64) - low) / max(high - low, 1e-12)
    position = np.clip(share, 0, 1) * (len(COLOUR_ANCHORS) - 1)
    below = np.minimum(position.astype(int), len(COLOUR_ANCHORS) - 2)
    part = (position - below)[..., None]
    mixed = COLOUR_ANCHORS[below] * (1 - part) + COLOUR_ANCHORS[below + 1] * part
    return mixed.round().astype(np.uint8)


def heat_map_png(matrix_NN: NDArray[np.floating], *, low: float, high: float, cell: int) -> bytes:
    """Each entry a square of `cell` pixels, coloured from `low` (dark) to `high` (light)."""
    pixels = colours(matrix_NN, low=low, high=high).repeat(cell, axis=0).repeat(cell, axis=1)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def thumbnail(image: bytes, side: int) -> bytes | None:
    """A JPEG that fits into a square of `side` pixels; None if the picture cannot be read."""
    try:
        with Image.open(io.BytesIO(image)) as opened:
            small = opened.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=85)
    return buffer.getvalue()


def data_uri(content: bytes, media_type: str) -> str:
    """The bytes as something a `src` can hold."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
