"""From flags and lists to tombstones.

    text      one entry a line, # begins a comment line; what it is, --list-of says or its form
    .csv      a header with any of uid, url, page (or page_url), host, domain, sha256, phash
    .parquet  columns of these names

Every entry is checked before any is written; the first that is malformed stops the command and is
named with file and line.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from diagonal_data.parquet import read_parquet
from diagonal_data.phash import is_flat
from diagonal_data.schema import canonical_url
from diagonal_data.takedown.config import TakedownConfig
from diagonal_data.tombstones import HOST, KINDS, TOMBSTONE_SCHEMA, normal_host
from diagonal_infra import storage
from diagonal_infra.errors import UserError

COLUMN_OF = {"page": "page_url"} | {kind: kind for kind in KINDS}
SHOWN = 80


@dataclass(frozen=True, kw_only=True)
class Selector:
    """One entry as it was given; `place` is its flag, or its file and line."""

    kind: str
    text: str
    place: str


def read_selectors(config: TakedownConfig) -> pa.Table:
    """The tombstones that flags and list ask for, each once; the column `request` is null.

    Raises:
        UserError: nothing is named, the list cannot be read, or an entry is malformed.
    """
    found = dict.fromkeys(_tombstone(each, config) for each in _given(config))
    if not found:
        raise UserError(
            "nothing to take down: give --uid, --url, --page, --host, --sha256, --phash or --list"
        )
    rows = [{kind: value} for kind, value in found]
    for row in rows:
        if "phash" in row:
            row["phash_distance"] = config.phash_distance
    return pa.Table.from_pylist(rows, schema=TOMBSTONE_SCHEMA)


def _given(config: TakedownConfig) -> Iterator[Selector]:
    for kind in ("uid", "url", "page", "host", "sha256", "phash"):
        for text in getattr(config, kind):
            yield Selector(kind=kind, text=text, place=f"--{kind}")
    if config.list:
        yield from _listed(config)


def _listed(config: TakedownConfig) -> Iterator[Selector]:
    path = config.list
    if not storage.exists(path):
        raise UserError(f"no list at {path!r}; check --list")
    try:
        if path.endswith(".parquet"):
            table = read_parquet(path)
            yield from _from_columns(path, table.column_names, table.to_pylist(), "row", 1)
            return
        text = storage.read_bytes(path).decode("utf-8-sig")
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise UserError(f"{path!r} cannot be read as a list: {error}") from error
    if path.endswith(".csv"):
        reader = csv.DictReader(io.StringIO(text))
        yield from _from_columns(path, reader.fieldnames or (), reader, "line", 2)
        return
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.strip()
        if entry and not entry.startswith("#"):
            place = f"{path}, line {number}"
            kind = _kind_of(entry, place) if config.list_of == "auto" else config.list_of
            yield Selector(kind=kind, text=entry, place=place)


def _from_columns(
    path: str, names: Iterable[str], rows: Iterable[dict], unit: str, first: int
) -> Iterator[Selector]:
    kinds = [name for name in names if name in COLUMN_OF]
    if not kinds:
        raise UserError(
            f"{path!r} has none of the columns {', '.join(COLUMN_OF)} (it has {', '.join(names)})"
        )
    for number, row in enumerate(rows, start=first):
        for kind in kinds:
            value = row[kind]
            if value is not None and str(value).strip():
                text = f"{value:016x}" if isinstance(value, int) else str(value).strip()
                yield Selector(kind=kind, text=text, place=f"{path}, {unit} {number}")


def _kind_of(entry: str, place: str) -> str:
    for kind, digits in (("uid", 32), ("sha256", 64), ("phash", 16)):
        if re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", entry):
            return kind
    if "://" in entry:
        return "url"
    if re.fullmatch(r"[\w-]+(\.[\w-]+)+\.?", entry):
        return "host"
    raise UserError(
        f"{place}: {entry[:SHOWN]!r} is no uid, URL, host, sha256 or phash; "
        "correct the line, or say with --list-of what the lines are"
    )


def _tombstone(selector: Selector, config: TakedownConfig) -> tuple[str, str | int]:
    """Column and value."""
    kind = COLUMN_OF[selector.kind]
    try:
        value = _PARSERS[kind](selector.text.strip())
    except ValueError as error:
        raise UserError(f"{selector.place}: {selector.text[:SHOWN]!r} is {error}") from error
    return ("domain" if kind == "host" and config.subdomains else kind), value


def _hex(digits: int, name: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", text):
            raise ValueError(f"no {name}, which has {digits} hex digits")
        return text.lower()

    return parse


def _url(text: str) -> str:
    found = re.match(HOST, text)
    if not re.match("https?://", text, re.IGNORECASE) or not found or not found["host"]:
        raise ValueError("no http(s) URL with a host")
    return canonical_url(text)


def _host(text: str) -> str:
    if not re.fullmatch(r"[^\s/?#@:]+|\[[0-9a-fA-F:.]+\]", text) or not normal_host(text):
        raise ValueError("no host name (give it without scheme, port and path)")
    return normal_host(text)


def _phash(text: str) -> int:
    value = int(_hex(16, "perceptual hash")(text), 16)
    if is_flat(np.array([value], dtype=np.uint64))[0]:
        raise ValueError("the hash of pictures without structure, and would name unrelated ones")
    return value


_PARSERS: dict[str, Callable[[str], str | int]] = {
    "uid": _hex(32, "uid"),
    "url": _url,
    "page_url": _url,
    "host": _host,
    "domain": _host,
    "sha256": _hex(64, "sha256"),
    "phash": _phash,
}
