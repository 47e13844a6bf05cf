"""Readers of URL lists: Parquet, CSV, TSV and JSON lines, plain or compressed, row by row.

Column names are matched without regard to case, the first alias that is there wins:

    url       url, image_url, uri, …        LAION URL, WIT image_url
    caption   caption, text, alt, …         LAION TEXT, DataComp text, COYO text
    others    page_url, lang, width_hint, height_hint, licence, face_bboxes; see ALIASES

CSV and TSV without a header are known by a URL in their first line, as in CC3M (caption, URL) and
CC12M (URL, caption). TSV fields are never quoted: captions with quotation marks stay as they are.
"""

import csv
import io
import json
import zlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from diagonal_data.candidates.page import collapse
from diagonal_data.schema import Candidate, candidate_for
from diagonal_infra import storage
from diagonal_infra.errors import StorageError, UserError

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
DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
PACKED = (".gz", ".bz2", ".xz", ".zst")
BATCH_ROWS = 8_192
MAX_FIELD_CHARS = 2**20
MAX_HINT = 2**31 - 1
VERSION_MARKS = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "mtime", "created")
"""Where file systems tell one content of a name from the next; the first that is there is taken."""


@dataclass(frozen=True, kw_only=True)
class ListBatch:
    """Some rows of a list: their candidates, and how many rows gave none."""

    candidates: list[Candidate]
    rows_without_url: int
    empty_captions: int


def find_lists(pattern: str) -> list[str]:
    """The lists that the pattern names, in order; other files are passed over.

    Raises:
        UserError: no list under that name.
    """
    found = storage.expand(pattern)
    lists = [path for path in found if _kind(path) is not None]
    if not lists:
        raise UserError(
            f"no URL list among {', '.join(found[:5])}; --input takes .parquet, .csv, .tsv, .jsonl "
            f"and .ndjson, plain or {', '.join(PACKED)}"
        )
    return lists


def check_lists(lists: Sequence[str]) -> None:
    """Read the beginning of each list, so that a mistake shows before anything is written.

    Raises:
        UserError: a list without a URL or caption column, or not a row in all of them.
        StorageError: a list that is damaged at its beginning.
    """
    rows = 0
    for path in lists:
        with _opened(path) as found:
            first = next(found, None)
            if first is not None:
                columns_for(list(first), path)
                rows += 1
    if not rows:
        raise UserError(f"no rows in {', '.join(lists[:5])}; --input must name lists with rows")


def version_of(path: str) -> dict[str, str | int | None]:
    """What differs when a list is replaced or grows: its size, and its ETag or time of change."""
    filesystem, inner = url_to_fs(path)
    if isinstance(filesystem, LocalFileSystem):
        # Not fsspec's: of a link it would give the link's own time.
        facts = Path(inner).stat()
        return {"path": path, "size": facts.st_size, "version": str(facts.st_mtime_ns)}
    filesystem.invalidate_cache()
    known = filesystem.info(inner)
    marks = (known[name] for name in VERSION_MARKS if known.get(name))
    version = next((str(mark) for mark in marks), None)
    return {"path": path, "size": known.get("size"), "version": version}


def read_lists(lists: Sequence[str]) -> Iterator[ListBatch]:
    """The rows of the lists in order, some thousand at a time.

    Raises:
        UserError: a list without a URL or caption column.
        StorageError: a list that is damaged.
    """
    for path in lists:
        with _opened(path) as rows:
            yield from _batches(rows, path)


@contextmanager
def _opened(path: str) -> Iterator[Iterator[Row]]:
    """The rows of one list; what goes wrong in reading them names the list."""
    kind = _kind(path)
    try:
        with storage.open_read(path) as file:
            if kind == ".parquet":
                rows = _parquet_rows(file, path)
            elif kind in JSON_LINES:
                rows = _json_rows(file)
            else:
                rows = _delimited_rows(file, path, DELIMITERS[kind or ".csv"])
            with closing(rows):
                yield rows
    except (EOFError, OSError, zlib.error, csv.Error, pa.ArrowException) as error:
        raise StorageError(f"cannot read {path}: {error}; is it whole?") from error


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


def _kind(path: str) -> str | None:
    name = path.rsplit("/", 1)[-1].lower()
    for ending in PACKED:
        name = name.removesuffix(ending)
    return next((k for k in (".parquet", *DELIMITERS, *JSON_LINES) if name.endswith(k)), None)


def _parquet_rows(file: IO[Any], path: str) -> Generator[Row]:
    table = pq.ParquetFile(file)
    columns = list(columns_for(table.schema_arrow.names, path).values())
    for batch in table.iter_batches(BATCH_ROWS, columns=columns, use_threads=False):
        yield from batch.to_pylist()


def _delimited_rows(file: IO[Any], path: str, delimiter: str) -> Generator[Row]:
    csv.field_size_limit(MAX_FIELD_CHARS)
    quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    with io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="") as text:
        lines = csv.reader(text, delimiter=delimiter, quoting=quoting)
        first = next(lines, [])
        header = _header_for(first, path)
        rows = lines if header == first else chain([first], lines)
        for fields in rows:
            yield dict(zip(header, fields, strict=False))


def _header_for(first: list[str], path: str) -> list[str]:
    are_urls = [field.strip().lower().startswith(("http://", "https://")) for field in first]
    if not any(are_urls):
        return first
    if len(first) != 2 or all(are_urls):
        raise UserError(
            f"{path} has no header and {len(first)} columns ({', '.join(first)[:200]}); a list "
            "without a header must have two, URL and caption"
        )
    return ["url", "caption"] if are_urls[0] else ["caption", "url"]


def _json_rows(file: IO[Any]) -> Generator[Row]:
    """One row per line; a line that is no JSON object is a row without columns."""
    for line in file:
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            yield row if isinstance(row, dict) else {}


def _batches(rows: Iterator[Row], path: str) -> Iterator[ListBatch]:
    """The columns are found in the first row, which must have all that are to be read."""
    first = next(rows, None)
    if first is None:
        return
    columns = columns_for(list(first), path)
    candidates: list[Candidate] = []
    without_url = empty = 0
    for count, row in enumerate(chain([first], rows), start=1):
        url = _text(row.get(columns["url"])).strip()
        caption_raw = _text(row.get(columns["caption"]))
        caption = collapse(caption_raw)
        if url and caption:
            known = _known(row, columns)
            candidates.append(candidate_for(url, caption, caption_raw=caption_raw, **known))
        without_url += not url
        empty += bool(url) and not caption
        if count % BATCH_ROWS == 0:
            yield ListBatch(
                candidates=candidates, rows_without_url=without_url, empty_captions=empty
            )
            candidates, without_url, empty = [], 0, 0
    yield ListBatch(candidates=candidates, rows_without_url=without_url, empty_captions=empty)


def _known(row: Row, columns: Mapping[str, str]) -> dict[str, Any]:
    known: dict[str, Any] = {"source": "list"}
    for ours in ("page_url", "lang", "licence"):
        known[ours] = _text(row.get(columns.get(ours, ""))) or None
    for ours in ("width_hint", "height_hint"):
        known[ours] = _pixels(row.get(columns.get(ours, "")))
    known["face_bboxes"] = _boxes(row.get(columns.get("face_bboxes", "")))
    return known


def _boxes(value: object) -> list[list[float]] | None:
    """DataComp's boxes, [left, top, right, bottom] each; what is no list of boxes is kept out."""
    if not isinstance(value, list) or not value:
        return None
    numbers = (int, float)
    are_boxes = all(
        isinstance(box, list) and len(box) == 4 and all(isinstance(side, numbers) for side in box)
        for box in value
    )
    return [[float(side) for side in box] for box in value] if are_boxes else None


def _text(value: object) -> str:
    """The text of a field; half surrogate pairs, which JSON can spell and Parquet cannot, go."""
    if not isinstance(value, str):
        return ""
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _pixels(value: object) -> int | None:
    """A number of pixels however the list spells it: 640, 640.0, "640"; None for anything else."""
    try:
        pixels = int(float(value)) if isinstance(value, int | float | str) else 0
    except (ValueError, OverflowError):
        return None
    return pixels if 0 < pixels <= MAX_HINT else None
