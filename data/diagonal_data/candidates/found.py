"""What readers give: images with their texts as they stood in a page or list, nothing cleaned yet.

A reader counts what it met under names of closed sets, so that pages and images always add up:

    pages    read, opted_out, not_html, too_large, bad_record, truncated, …   (`PageOutcome`)
    images   found, or why an image gave no row                                (`ImageOutcome`)
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import pyarrow as pa

TEXT_SOURCES = ("alt", "figcaption", "title", "aria-label", "json-ld", "og", "list")
"""Where a text stood; those of one image are tried in this order."""


class PageOutcome(StrEnum):
    """What became of a page, file or record; a failed fetch has its `Reason` instead."""

    READ = "read"
    OPTED_OUT = "opted_out"
    NOT_HTML = "not_html"
    HTTP_ERROR = "http_error"
    TOO_LARGE = "too_large"
    BAD_RECORD = "bad_record"
    TRUNCATED = "truncated"
    WRONG_COLUMNS = "wrong_columns"
    MISSING = "missing"


class ImageOutcome(StrEnum):
    """What became of an image of a page, or of a row of a list."""

    FOUND = "found"
    NO_TEXT = "no_text"
    NO_URL = "no_url"
    DATA_URL = "data_url"
    BAD_URL = "bad_url"
    BAD_ROW = "bad_row"


class Found(NamedTuple):
    """An image and its texts; a tuple, because millions are made."""

    url: str
    """Absolute, http or https, spelled as found."""
    texts: Sequence[str]
    """As found, entities of HTML resolved, none of them blank; at least one, the best first."""
    sources: Sequence[str]
    """Where each text stood, of `TEXT_SOURCES`."""
    page_url: str | None = None
    page_lang: str | None = None
    """As the page declares it, such as `en-GB`."""
    lang: str | None = None
    """As a list states it."""
    width_hint: int | None = None
    height_hint: int | None = None
    """Pixels, as declared."""
    licence: str | None = None
    face_bboxes: Sequence[Sequence[float]] | None = None


FOUND_SCHEMA = pa.schema(
    [
        pa.field("url", pa.string(), nullable=False),
        pa.field("texts", pa.list_(pa.string()), nullable=False),
        pa.field("sources", pa.list_(pa.string()), nullable=False),
        pa.field("page_url", pa.string()),
        pa.field("page_lang", pa.string()),
        pa.field("lang", pa.string()),
        pa.field("width_hint", pa.int32()),
        pa.field("height_hint", pa.int32()),
        pa.field("licence", pa.string()),
        pa.field("face_bboxes", pa.list_(pa.list_(pa.float32()))),
    ]
)


@dataclass(kw_only=True)
class ReadCounts:
    """What one unit met."""

    pages: Counter[str] = field(default_factory=Counter)
    images: Counter[str] = field(default_factory=Counter)


def found_table(found: Sequence[Found]) -> pa.Table:
    """Rows as a table of `FOUND_SCHEMA`."""
    columns = list(zip(*found, strict=True)) if found else [()] * len(FOUND_SCHEMA)
    arrays = [pa.array(c, f.type) for c, f in zip(columns, FOUND_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=FOUND_SCHEMA)
