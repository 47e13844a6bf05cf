"""Hits for people and programs: a table, JSON, CSV, and a page with their pictures.

Captions and URLs come from strangers' pages: on the terminal and in the page they are text only.
"""

import csv
import io
import json
import sys
from collections.abc import Sequence
from html import escape
from typing import Any

from rich.table import Table
from rich.text import Text

from diagonal_eval.charts import data_uri, thumbnail
from diagonal_eval.explore.cards import picture
from diagonal_eval.search.config import SearchConfig
from diagonal_eval.search.query import Hit
from diagonal_infra import log
from diagonal_infra.errors import StorageError, UserError
from diagonal_infra.html_page import html_page

FIELDS = ("rank", "cosine", "uid", "url", "caption", "shard", "key")
DIGITS = 6
THUMBNAIL_PIXELS = 224


def write_out(text: str) -> None:
    """Text to stdout as it is: rich would break lines and drop the last end of line."""
    sys.stdout.write(text)


def printable(text: str) -> str:
    """On one line and without control characters, which a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in text)


def record(rank: int, hit: Hit) -> dict[str, Any]:
    """A hit by `FIELDS`."""
    row = hit.row
    return {
        **{"rank": rank, "cosine": round(hit.cosine, DIGITS), "uid": row["uid"]},
        **{"url": row["url"], "caption": row["caption"], "shard": hit.shard, "key": row["key"]},
    }


def show(config: SearchConfig, hits: Sequence[Hit]) -> None:
    """Write the hits to stdout in the format asked for."""
    records = [record(rank, hit) for rank, hit in enumerate(hits, 1)]
    if config.format == "json":
        asked = {"texts": config.texts, "image": config.image, "not": config.unwanted}
        content = {"dataset": config.dataset, "question": asked, "to": config.to, "hits": records}
        write_out(json.dumps(content, ensure_ascii=False, indent=2) + "\n")
    elif config.format == "csv":
        write_out(as_csv(FIELDS, records))
    else:
        log.STDOUT.print(_table(config, records))


def as_csv(fields: Sequence[str], records: Sequence[dict[str, Any]]) -> str:
    """A header and a line per record."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return buffer.getvalue()


def described(config: SearchConfig) -> str:
    """The question in words."""
    parts = [*(f"“{text}”" for text in config.texts), *([config.image] if config.image else [])]
    unwanted = "".join(f" − “{text}”" for text in config.unwanted)
    return " + ".join(parts) + unwanted


def _table(config: SearchConfig, records: Sequence[dict[str, Any]]) -> Table:
    title = f"{described(config)}: {config.to} of {config.dataset}"
    table = Table(title=Text(printable(title)), title_justify="left")
    table.add_column("", justify="right")
    table.add_column("cosine", justify="right")
    table.add_column("caption", overflow="fold", ratio=2)
    table.add_column("url", overflow="fold", ratio=2)
    table.add_column("sample", overflow="fold")
    for each in records:
        sample = f"{each['shard']}/{each['key']}"
        cells = [str(each["rank"]), f"{each['cosine']:.3f}", each["caption"], each["url"], sample]
        table.add_row(*(Text(printable(str(cell))) for cell in cells))
    return table


def contact_sheet(config: SearchConfig, hits: Sequence[Hit]) -> str:
    """A page with the hits' pictures inside it."""
    figures = "".join(_figure(config.dataset, rank, hit) for rank, hit in enumerate(hits, 1))
    asked = escape(described(config))
    lead = f"{len(hits)} nearest {config.to} of {config.dataset}, best first, with cosines"
    body = (
        f"<h1>{asked}</h1><p class='lead'>{escape(lead)}</p>"
        f"<section><div class='sheet'>{figures}</div></section>"
    )
    return html_page(f"Diagonal: {described(config)}", body)


def _figure(dataset: str, rank: int, hit: Hit) -> str:
    small = _thumbnail(dataset, hit)
    image = (
        f'<img alt="" src="{data_uri(small, "image/jpeg")}">'
        if small is not None
        else "<p class='note'>picture cannot be read</p>"
    )
    row = hit.row
    return (
        f"<figure>{image}<figcaption>{escape(row['caption'])}"
        f"<small>{rank} · {hit.cosine:.3f} · {escape(hit.shard)}/{escape(str(row['key']))}</small>"
        f"<small>{escape(row['url'])}</small></figcaption></figure>"
    )


def _thumbnail(dataset: str, hit: Hit) -> bytes | None:
    try:
        return thumbnail(picture(dataset, hit.row | {"shard": hit.shard}), THUMBNAIL_PIXELS)
    except (StorageError, UserError, OSError):
        return None
