"""Columns of URL lists: which of theirs is which of ours, and what a row says."""

from collections.abc import Mapping
from typing import Any

from diagonal_data.candidates.found import Found, ImageOutcome
from diagonal_infra.errors import UserError

Row = Mapping[str, Any]

ALIASES = {
    "url": ("url", "image_url", "img_url", "uri", "image_uri"),
    "caption": (
        "caption",
        "text",
        "alt",
        "alt_text",
        "caption_alt_text_description",
        "caption_reference_description",
        "description",
        "title",
    ),
    "page_url": ("page_url", "page", "source_url", "referrer"),
    "lang": ("lang", "language"),
    "width_hint": ("width_hint", "original_width", "width"),
    "height_hint": ("height_hint", "original_height", "height"),
    "licence": ("licence", "license"),
    "face_bboxes": ("face_bboxes",),
}
REQUIRED = ("url", "caption")
TEXTS, HINTS = ("page_url", "lang", "licence"), ("width_hint", "height_hint")
MAX_HINT = 2**31 - 1
WEB = ("http://", "https://")


def columns_for(names: list[str], path: str) -> dict[str, str]:
    """Our column name to the list's, for those that the list has.

    Raises:
        UserError: no column for the URL or the caption.
    """
    by_lower = {name.lower(): name for name in reversed(names)}
    columns = {
        ours: by_lower[alias]
        for ours, aliases in ALIASES.items()
        for alias in reversed(aliases)
        if alias in by_lower
    }
    missing = [ours for ours in REQUIRED if ours not in columns]
    if missing:
        wanted = "; ".join(f"for the {ours}: {', '.join(ALIASES[ours])}" for ours in missing)
        raise UserError(f"{path} has the columns {', '.join(names) or '(none)'}; wanted {wanted}")
    return columns


def found_in_row(row: Row, columns: Mapping[str, str]) -> tuple[ImageOutcome, Found | None]:
    """The candidate of a row, or why it has none."""
    if not row:
        return ImageOutcome.BAD_ROW, None
    url = text_of(row.get(columns["url"])).strip()
    caption = text_of(row.get(columns["caption"]))
    outcome = _outcome(url, caption)
    if outcome is not ImageOutcome.FOUND:
        return outcome, None
    page_url, lang, licence = (text_of(row.get(columns.get(ours, ""))) or None for ours in TEXTS)
    width, height = (pixels_of(row.get(columns.get(ours, ""))) for ours in HINTS)
    found = Found(
        url=url,
        texts=[caption],
        sources=["list"],
        page_url=page_url,
        lang=lang,
        width_hint=width,
        height_hint=height,
        licence=licence,
        face_bboxes=boxes_of(row.get(columns.get("face_bboxes", ""))),
    )
    return outcome, found


def _outcome(url: str, caption: str) -> ImageOutcome:
    if not url:
        return ImageOutcome.NO_URL
    if not url[:8].lower().startswith(WEB):
        return ImageOutcome.BAD_URL
    return ImageOutcome.FOUND if caption.strip() else ImageOutcome.NO_TEXT


def boxes_of(value: object) -> list[list[float]] | None:
    """DataComp's boxes, [left, top, right, bottom] each; what is no list of boxes is kept out."""
    if not isinstance(value, list) or not value:
        return None
    numbers = (int, float)
    are_boxes = all(
        isinstance(box, list) and len(box) == 4 and all(isinstance(side, numbers) for side in box)
        for box in value
    )
    return [[float(side) for side in box] for box in value] if are_boxes else None


def text_of(value: object) -> str:
    """The text of a field; half surrogate pairs, which JSON can spell and Parquet cannot, go."""
    if not isinstance(value, str):
        return ""
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def pixels_of(value: object) -> int | None:
    """A number of pixels however the list spells it: 640, 640.0, "640"; None for anything else."""
    try:
        pixels = int(float(value)) if isinstance(value, int | float | str) else 0
    except (ValueError, OverflowError):
        return None
    return pixels if 0 < pixels <= MAX_HINT else None
