"""Dot-and-whisker charts: one row a name, its marks on a common axis.

Text is escaped here and shortened where it would not fit; the whole of it is the row's tooltip.
`STYLE` goes into the page once, beside html_page's own rules.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from diagonal_eval.intervals import Interval
from diagonal_infra.charts import nice_ticks, svg

MarkKind = Literal["dot", "small", "hollow", "chance"]

STYLE = """
svg .dot { fill: var(--accent); }
svg .dot.muted { fill: var(--grey); }
svg .small { fill: var(--muted); opacity: .55; }
svg .hollow { fill: var(--card); stroke: var(--ink); stroke-width: 1.4; }
svg .chance { stroke: var(--bad); stroke-width: 2; }
svg .zero { stroke: var(--muted); stroke-dasharray: 3 3; }
svg text { unicode-bidi: isolate; }
"""
ROW_HEIGHT, HEAD_HEIGHT = 24, 22
LABEL_WIDTH, AXIS_WIDTH, VALUE_WIDTH = 220, 380, 260
LABEL_CHARS = 28
MARK_SIZE = {"dot": 4.5, "small": 3.0, "hollow": 4.0}


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One number on a row's axis."""

    value: float
    kind: MarkKind = "dot"
    title: str = ""
    """Tooltip."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One name with its marks; later marks lie above earlier ones."""

    label: str
    text: str
    """Shown at the right end."""
    marks: Sequence[Mark]
    interval: Interval | None = None
    muted: bool = False


def dot_chart(
    rows: Sequence[Row], *, low: float, high: float, zero: bool = False, signed: bool = False
) -> str:
    """Rows on an axis from `low` to `high`, in percent; whiskers where there is an interval.

    Args:
        rows: from top to bottom.
        low: left end of the axis, a share.
        high: right end of the axis.
        zero: draw a line at zero, to which differences are compared.
        signed: ticks have a sign.
    """
    height = HEAD_HEIGHT + ROW_HEIGHT * len(rows) + 6
    parts = [_ticks(low, high, height, signed)]
    if zero:
        x = _place(0.0, low, high)
        parts.append(
            f'<line class="zero" x1="{x:.1f}" x2="{x:.1f}" y1="{HEAD_HEIGHT}" y2="{height}"/>'
        )
    parts += [
        _row(row, HEAD_HEIGHT + ROW_HEIGHT * index, low, high) for index, row in enumerate(rows)
    ]
    return svg(LABEL_WIDTH + AXIS_WIDTH + VALUE_WIDTH, height, "".join(parts))


def shortened(text: str, most: int = LABEL_CHARS) -> str:
    """At most so many characters, with an ellipsis where some are missing."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _place(value: float, low: float, high: float) -> float:
    share = (value - low) / max(high - low, 1e-12)
    return LABEL_WIDTH + min(max(share, 0.0), 1.0) * AXIS_WIDTH


def _ticks(low: float, high: float, height: int, signed: bool) -> str:
    parts = []
    for tick in nice_ticks(low, high):
        if low - 1e-9 <= tick <= high + 1e-9:
            x = _place(tick, low, high)
            text = f"{100 * tick:+g}" if signed and tick else f"{100 * tick:g}"
            parts.append(
                f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{HEAD_HEIGHT}" y2="{height}"/>'
                f'<text class="tick" x="{x:.1f}" y="14" text-anchor="middle">{text}</text>'
            )
    return "".join(parts)


def _row(row: Row, top: int, low: float, high: float) -> str:
    middle = top + ROW_HEIGHT / 2
    parts = [
        f'<text class="label" x="{LABEL_WIDTH - 12}" y="{middle + 4:.1f}" text-anchor="end">'
        f"{escape(shortened(row.label))}<title>{escape(row.label)}</title></text>"
    ]
    if row.interval:
        left, right = (_place(bound, low, high) for bound in row.interval)
        parts.append(
            f'<path class="whisker" d="M{left:.1f} {middle}H{right:.1f}'
            f'M{left:.1f} {middle - 4}v8M{right:.1f} {middle - 4}v8"/>'
        )
    parts += [_mark(mark, middle, low, high, row.muted) for mark in row.marks]
    parts.append(
        f'<text class="value" x="{LABEL_WIDTH + AXIS_WIDTH + 12}" y="{middle + 4:.1f}">'
        f"{escape(row.text)}</text>"
    )
    return "".join(parts)


def _mark(mark: Mark, middle: float, low: float, high: float, muted: bool) -> str:
    x = _place(mark.value, low, high)
    title = f"<title>{escape(mark.title)}</title>" if mark.title else ""
    if mark.kind == "chance":
        return (
            f'<line class="chance" x1="{x:.1f}" x2="{x:.1f}" y1="{middle - 7}" y2="{middle + 7}">'
            f"{title}</line>"
        )
    kind = f"{mark.kind} muted" if muted else mark.kind
    size = MARK_SIZE[mark.kind]
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{middle}" r="{size}">{title}</circle>'
