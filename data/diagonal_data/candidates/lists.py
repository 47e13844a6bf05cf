"""Readers of URL lists: Parquet, CSV, TSV and JSON lines, plain or compressed.

Column names are matched without regard to case, the first alias that is there wins:

    url       url, image_url, uri, …        LAION URL, WIT image_url
    caption   caption, text, alt, …         LAION TEXT, DataComp text, COYO text
    others    page_url, lang, width_hint, height_hint, licence, face_bboxes; see list_columns.py

CSV and TSV without a header are known by a URL in their first line, as in CC3M (caption, URL) and
CC12M (URL, caption). TSV fields are never quoted: captions with quotation marks stay as they are.
A Parquet file can be shared: a reader takes the row groups that begin in its range of bytes.
"""

import logging
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from diagonal_data.candidates.found import Found, ImageOutcome, PageOutcome, ReadCounts, found_table
from diagonal_data.candidates.list_columns import Row, columns_for, found_in_row
from diagonal_data.candidates.list_lines import delimited_rows, json_rows
from diagonal_data.candidates.list_parquet import parquet_found
from diagonal_infra import storage
from diagonal_infra.errors import StorageError, UserError

DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
PARQUET = ".parquet"
PACKED = (".gz", ".bz2", ".xz", ".zst")
BATCH_ROWS = 65_536
CHECKED = 20
"""Most lists looked into before the work starts."""
logger = logging.getLogger(__name__)


def find_lists(patterns: Sequence[str]) -> list[str]:
    """The lists that the patterns name, in order; other files are passed over.

    Raises:
        UserError: no list under those names.
    """
    found = [path for pattern in patterns for path in storage.expand(pattern)]
    lists = [path for path in found if kind_of(path) is not None]
    if not lists:
        raise UserError(
            f"no URL list among {', '.join(found[:5])}; --input takes .parquet, .csv, .tsv, .jsonl "
            f"and .ndjson, plain or {', '.join(PACKED)}"
        )
    return lists


def check_lists(lists: Sequence[str]) -> None:
    """Read the beginning of the first lists, so that a mistake shows before anything is written.

    Raises:
        UserError: not one of them has a URL and a caption column and a row.
        StorageError: the only list is damaged at its beginning.
    """
    problems: list[UserError | StorageError] = []
    for path in lists[:CHECKED]:
        try:
            with _opened(path) as found:
                first = next((row for row in found if row), None)
                if first is not None:
                    columns_for(list(first), path)
                    return
        except (UserError, StorageError) as error:
            problems.append(error)
    if problems:
        raise problems[0]
    raise UserError(f"no rows in {', '.join(lists[:5])}; --input must name lists with rows")


def read_list(
    path: str, counts: ReadCounts, *, start: int = 0, end: int | None = None
) -> Iterator[pa.Table]:
    """Rows as tables of `FOUND_SCHEMA`; what gives none is counted, a damaged list as truncated.

    Args:
        path: of the list.
        counts: is added to; every row once.
        start: of a Parquet file, the row groups are read that begin at this byte or later
        end: and before this one; other lists are read whole.
    """
    outcome = PageOutcome.READ
    try:
        if kind_of(path) == PARQUET:
            with _reading(path), storage.open_read(path) as file:
                yield from parquet_found(file, path, counts.images, start, end, BATCH_ROWS)
        else:
            with _opened(path) as rows:
                yield from _row_tables(rows, path, counts)
    except UserError as error:
        logger.warning("%s", error)
        outcome = PageOutcome.WRONG_COLUMNS
    except StorageError as error:
        logger.warning("%s", error)
        is_gone = isinstance(error.__cause__, FileNotFoundError)
        outcome = PageOutcome.MISSING if is_gone else PageOutcome.TRUNCATED
    counts.pages[outcome] += 1


def kind_of(path: str) -> str | None:
    """The ending that tells the format, compression aside; None for what is no list."""
    name = path.rsplit("/", 1)[-1].lower()
    for ending in PACKED:
        name = name.removesuffix(ending)
    return next((k for k in (PARQUET, *DELIMITERS, *JSON_LINES) if name.endswith(k)), None)


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """What goes wrong in reading a list names the list."""
    try:
        yield
    except (EOFError, OSError, zlib.error, pa.ArrowException) as error:
        raise StorageError(f"cannot read {path}: {error}; is it whole?") from error


@contextmanager
def _opened(path: str) -> Iterator[Iterator[Row]]:
    """The rows of one list."""
    kind = kind_of(path)
    with _reading(path), storage.open_read(path) as file:
        if kind == PARQUET:
            rows = _parquet_rows(file)
        elif kind in JSON_LINES:
            rows = json_rows(file)
        else:
            rows = delimited_rows(file, path, DELIMITERS[kind or ".csv"])
        with closing(rows):
            yield rows


def _parquet_rows(file: IO[Any]) -> Generator[Row]:
    for batch in pq.ParquetFile(file).iter_batches(1, use_threads=False):
        yield from batch.to_pylist()


def _row_tables(rows: Iterator[Row], path: str, counts: ReadCounts) -> Iterator[pa.Table]:
    """The columns are found in the first row, which must have all that are to be read."""
    first = next(rows, None)
    while first == {}:
        counts.images[ImageOutcome.BAD_ROW] += 1
        first = next(rows, None)
    if first is None:
        return
    columns = columns_for(list(first), path)
    rows = chain([first], rows)
    batch: list[Found] = []
    damage: Exception | None = None
    while damage is None:
        try:
            row = next(rows, None)
        except (EOFError, OSError, zlib.error) as error:
            # Of a list that breaks off, what was read stays.
            damage, row = error, None
        if row is None:
            break
        outcome, found = found_in_row(row, columns)
        counts.images[outcome] += 1
        if found is not None:
            batch.append(found)
        if len(batch) == BATCH_ROWS:
            yield found_table(batch)
            batch = []
    yield found_table(batch)
    if damage is not None:
        raise damage
