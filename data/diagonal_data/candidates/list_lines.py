"""Rows of CSV, TSV and JSON lines; what is no row of the table comes as one without columns."""

import csv
import io
import json
from collections.abc import Generator, Iterator
from itertools import chain
from typing import IO, Any

from diagonal_data.candidates.list_columns import Row
from diagonal_infra.errors import UserError

MAX_FIELD_CHARS = 2**20
MAX_RECORD_LINES = 64
"""Lines that one quoted field may go on for; then the quotation mark was a mistake."""


class _Lines:
    """Lines of a file, with those of the record that is being read at hand."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.record: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self.record) == MAX_RECORD_LINES:
            raise csv.Error("a field does not end")
        line = next(self._lines)
        self.record.append(line)
        return line


def delimited_rows(file: IO[Any], path: str, delimiter: str) -> Generator[Row]:
    """Rows of a CSV or TSV file by the names of its header.

    A field that does not end costs its own line only: the lines behind it are read one by one.

    Raises:
        UserError: no header, and not two columns of which one holds URLs.
    """
    csv.field_size_limit(MAX_FIELD_CHARS)
    with io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="") as text:
        records = _records(text, delimiter)
        first = next(records, None) or []
        header = _header_for(first, path)
        for fields in records if header == first else chain([first], records):
            # A line cut in the wrong places has fewer or more fields than there are columns.
            is_row = fields is not None and len(fields) == len(header)
            yield dict(zip(header, fields, strict=True)) if is_row and fields else {}


def json_rows(file: IO[Any]) -> Generator[Row]:
    """One row per line."""
    for line in file:
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            yield row if isinstance(row, dict) else {}


def _records(text: Iterator[str], delimiter: str) -> Iterator[list[str] | None]:
    quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    lines = _Lines(text)
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting)
    while True:
        lines.record = []
        try:
            fields = next(reader)
        except StopIteration:
            # The last quotation mark may be one that nothing ends.
            return
        except csv.Error:
            yield None
            yield from _one_by_one(lines.record[1:], delimiter)
            continue
        if fields:
            yield fields


def _one_by_one(lines: list[str], delimiter: str) -> Iterator[list[str] | None]:
    for line in lines:
        try:
            yield next(csv.reader([line], delimiter=delimiter), None)
        except csv.Error:
            yield None


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
