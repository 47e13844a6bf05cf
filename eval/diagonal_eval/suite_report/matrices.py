"""Square matrices with names on both sides: class confusion, and similarity of class embeddings.

Up to MOST_NAMED classes the picture is SVG with names and a tooltip per cell; larger ones are a
heat map, cut at MOST_DRAWN classes.

Shape suffixes: N samples, C classes.
"""

from collections.abc import Callable, Sequence
from html import escape

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from diagonal_eval.charts import colours, data_uri, heat_map_png
from diagonal_eval.dot_charts import shortened
from diagonal_infra.charts import svg

MOST_NAMED, MOST_DRAWN = 24, 400
CELL_PIXELS, CHAR_PIXELS, NAME_CHARS = 22, 6.5, 22
HEAT_MAP_PIXELS = 640


def confusion_matrix(
    predictions: pa.Table, order: Sequence[str] = ()
) -> tuple[list[str], NDArray[np.float64]] | None:
    """Class names and the share of each class (row) that was taken for each class (column).

    Classes in `order` come first. None for a table that has too many classes to show or none.
    """
    truth = predictions.column("truth").to_pylist()
    predicted = predictions.column("predicted").to_pylist()
    known = {name for name in (*truth, *predicted) if name}
    names = [name for name in order if name in known]
    names += sorted(known.difference(names))
    if not 2 <= len(names) <= MOST_NAMED:
        return None
    place = {name: index for index, name in enumerate(names)}
    counts_CC = np.zeros((len(names), len(names)))
    for right, guess in zip(truth, predicted, strict=True):
        if right in place and guess in place:
            counts_CC[place[right], place[guess]] += 1
    totals_C1 = counts_CC.sum(axis=1, keepdims=True)
    return names, counts_CC / np.maximum(totals_C1, 1)


def matrix_picture(
    names: Sequence[str],
    matrix_CC: NDArray[np.floating],
    *,
    alt: str,
    low: float,
    high: float,
    shown: Callable[[float], str],
) -> str:
    """An `svg` or `img` element.

    Args:
        names: of rows and columns.
        matrix_CC: what is not finite is drawn as `low`.
        alt: what the picture shows, for those who do not see it.
        low: the darkest entry.
        high: the lightest entry.
        shown: an entry as text, for tooltips.
    """
    values_CC = np.nan_to_num(np.asarray(matrix_CC, dtype=np.float64), nan=low)
    if len(names) <= MOST_NAMED:
        return _named_matrix(names, values_CC, low, high, shown)
    values_CC = values_CC[:MOST_DRAWN, :MOST_DRAWN]
    cell = max(1, HEAT_MAP_PIXELS // len(values_CC))
    png = heat_map_png(values_CC, low=low, high=high, cell=cell)
    return f'<img class="matrix" alt="{escape(alt)}" src="{data_uri(png, "image/png")}">'


def _named_matrix(
    names: Sequence[str],
    values_CC: NDArray[np.float64],
    low: float,
    high: float,
    shown: Callable[[float], str],
) -> str:
    rgb_CC3 = colours(values_CC, low=low, high=high)
    margin = round(16 + CHAR_PIXELS * min(NAME_CHARS, max(map(len, names))))
    parts = []
    for row, name in enumerate(names):
        middle = margin + CELL_PIXELS * (row + 0.5)
        label, whole = escape(shortened(name, NAME_CHARS)), f"<title>{escape(name)}</title>"
        parts.append(
            f'<text class="tick" x="{margin - 8}" y="{middle + 4}" text-anchor="end">'
            f"{label}{whole}</text>"
            f'<text class="tick" text-anchor="start" transform="translate({middle + 4} '
            f'{margin - 8}) rotate(-90)">{label}{whole}</text>'
        )
        for column, other in enumerate(names):
            red, green, blue = rgb_CC3[row, column]
            title = f"{name} → {other}: {shown(float(values_CC[row, column]))}"
            parts.append(
                f'<rect class="cell" x="{margin + CELL_PIXELS * column}" '
                f'y="{margin + CELL_PIXELS * row}" width="{CELL_PIXELS - 1}" '
                f'height="{CELL_PIXELS - 1}" fill="rgb({red},{green},{blue})">'
                f"<title>{escape(title)}</title></rect>"
            )
    size = margin + CELL_PIXELS * len(names)
    return svg(size, size, "".join(parts))
