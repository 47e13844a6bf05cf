"""What was taken down, and which rows that is. Every reader asks here, at once and always.

    DATASET/tombstones.parquet   any of these columns; a row is taken down if one of them names it

    uid                      the row's
    url, page_url            its URL, before or after redirects; its page; in canonical form
    host, domain             the host of its URL, before or after redirects; or any below a domain
    sha256                   of its picture as fetched
    phash, phash_distance    of its picture as stored, within so many bits (none given: 0)
    request                  the entry of takedowns.jsonl that asked for it; names nothing

A null names nothing. Candidates have no picture yet: of them uid, url, page, host and domain count.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from diagonal_data.parquet import read_parquet
from diagonal_data.schema import ROW_SCHEMA, Reason, canonical_url
from diagonal_infra import storage
from diagonal_infra.errors import UserError

TOMBSTONE_SCHEMA = pa.schema(
    [
        pa.field("uid", pa.string()),
        pa.field("url", pa.string()),
        pa.field("page_url", pa.string()),
        pa.field("host", pa.string()),
        pa.field("domain", pa.string()),
        pa.field("sha256", pa.string()),
        pa.field("phash", pa.uint64()),
        pa.field("phash_distance", pa.int32()),
        pa.field("request", pa.string()),
    ]
)
KINDS = ("uid", "url", "page_url", "host", "domain", "sha256", "phash")
"""The columns that name rows."""
TAKEDOWN_COLUMNS = ("uid", "url", "page_url", "final_url", "sha256", "phash")
"""What is compared of a row; those that a table lacks count as null."""
HOST = r"^(?:[A-Za-z][A-Za-z0-9+.\-]*:)?//(?:[^/?#]*@)?(?P<host>\[[^\]/?#]*\]|[^/?#:]*)"
PATH = r"^(?:[A-Za-z][A-Za-z0-9+.\-]*:)?//[^/?#]*/?([^#]*)(?:#.*)?$"
"""Path and query, which canonical form leaves to the letter; but for the first slash."""


@dataclass(frozen=True, kw_only=True)
class Match:
    """Rows that tombstones of one kind name, and which of the tombstones named any."""

    mask: np.ndarray
    found: frozenset[str | int] = frozenset()


def tombstones_path(dataset: str) -> str:
    """`DATASET/tombstones.parquet`."""
    return storage.join(dataset, "tombstones.parquet")


def read_tombstones(dataset: str) -> pa.Table:
    """All tombstones with the columns of the schema; without a file, none.

    Raises:
        UserError: the file cannot be read, or has none of the columns that name rows.
    """
    path = tombstones_path(dataset)
    if not storage.exists(path):
        return TOMBSTONE_SCHEMA.empty_table()
    try:
        found = read_parquet(path)
        if not set(KINDS) & set(found.column_names):
            raise UserError(
                f"{path!r} has none of the columns {', '.join(KINDS)} "
                f"(it has {', '.join(found.column_names)})"
            )
        return as_tombstones(found)
    except pa.ArrowException as error:
        raise UserError(f"{path!r} cannot be read as tombstones: {error}") from error


def as_tombstones(table: pa.Table) -> pa.Table:
    """The table's columns of the schema, absent ones null."""
    columns = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in TOMBSTONE_SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=TOMBSTONE_SCHEMA)


def named_rows(tombstones: pa.Table, rows: pa.Table) -> np.ndarray:
    """Mask of the rows that any tombstone names."""
    nothing = np.zeros(rows.num_rows, dtype=bool)
    if not tombstones.num_rows:
        return nothing
    found = (match.mask for match in matches(tombstones, rows).values())
    return reduce(np.logical_or, found, nothing)


def matches(tombstones: pa.Table, rows: pa.Table) -> dict[str, Match]:
    """By kind, for the kinds that have tombstones."""
    listed = {kind: tombstones[kind].drop_null() for kind in KINDS}
    found: dict[str, Match] = {}
    for kind in ("uid", "sha256"):
        if len(listed[kind]) and kind in rows.column_names:
            found[kind] = _equal(rows[kind], listed[kind])
    if len(listed["url"]):
        found["url"] = _both(_same_url(rows[name], listed["url"]) for name in _urls(rows))
    if len(listed["page_url"]) and "page_url" in rows.column_names:
        found["page_url"] = _same_url(rows["page_url"], listed["page_url"])
    for kind in ("host", "domain"):
        if len(listed[kind]):
            names = frozenset(normal_host(name) for name in listed[kind].to_pylist())
            found[kind] = _both(_of_host(rows[name], names, kind) for name in _urls(rows))
    if len(listed["phash"]) and "phash" in rows.column_names:
        found["phash"] = _near(rows["phash"], tombstones)
    return found


def blank_row(uid: str, key: str | None) -> dict[str, str | None]:
    """The row of a candidate that was taken down: it says that, and nothing of the content."""
    told = {"uid": uid, "key": key, "status": "failed", "reason": str(Reason.TAKEN_DOWN)}
    return dict.fromkeys(ROW_SCHEMA.names) | {"url": "", "caption": ""} | told


def normal_host(name: str) -> str:
    """In lower case, an international name as it stands in DNS, no dot at the end, no brackets."""
    name = name.lower().rstrip(".").strip("[]")
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode()
    except UnicodeError:
        return name


def is_in(values: pa.ChunkedArray, listed: pa.ChunkedArray | list[Any]) -> np.ndarray:
    """Mask of the values that stand in `listed`; a null does not."""
    if not len(listed):
        return np.zeros(len(values), dtype=bool)
    wanted = pa.array(listed) if isinstance(listed, list) else listed.combine_chunks()
    options = pc.SetLookupOptions(value_set=wanted.cast(values.type), skip_nulls=True)
    return np.asarray(pc.call_function("is_in", [values], options))


def _urls(rows: pa.Table) -> list[str]:
    return [name for name in ("url", "final_url") if name in rows.column_names]


def _both(parts: Iterable[Match]) -> Match:
    found = list(parts)
    return Match(
        mask=reduce(np.logical_or, (part.mask for part in found)),
        found=frozenset().union(*(part.found for part in found)),
    )


def _equal(values: pa.ChunkedArray, listed: pa.ChunkedArray) -> Match:
    # Hex digits are written in either case.
    values = pc.call_function("utf8_lower", [values])
    listed = pc.call_function("utf8_lower", [listed])
    mask = is_in(values, listed)
    return Match(mask=mask, found=frozenset(values.filter(pa.array(mask)).unique().to_pylist()))


def _same_url(values: pa.ChunkedArray, listed: pa.ChunkedArray) -> Match:
    """Only rows with a listed path and query are looked at one by one."""
    wanted = frozenset(canonical_url(url) for url in listed.to_pylist())
    mask = is_in(_path(values), _path(listed))
    found = set()
    for row in np.flatnonzero(mask):
        url = canonical_url(values[int(row)].as_py())
        mask[row] = url in wanted
        if url in wanted:
            found.add(url)
    return Match(mask=mask, found=frozenset(found))


def _path(urls: pa.ChunkedArray) -> pa.ChunkedArray:
    options = pc.ReplaceSubstringOptions(pattern=PATH, replacement=r"\1")
    return pc.call_function("replace_substring_regex", [_trimmed(urls)], options)


def _trimmed(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.call_function("utf8_trim_whitespace", [texts])


def _of_host(urls: pa.ChunkedArray, names: frozenset[str], kind: str) -> Match:
    options = pc.ExtractRegexOptions(pattern=HOST)
    found_hosts = pc.call_function("extract_regex", [_trimmed(urls)], options)
    hosts = pc.call_function("struct_field", [found_hosts], pc.StructFieldOptions(indices=[0]))
    listed, found = [], set()
    # Rows are many, hosts are few.
    for host in hosts.unique().drop_null().to_pylist():
        normal = normal_host(host) if host else ""
        parts = normal.split(".")
        above = {".".join(parts[i:]) for i in range(len(parts))} if kind == "domain" else {normal}
        if hit := above & names:
            listed.append(host)
            found |= hit
    return Match(mask=is_in(hosts, listed), found=frozenset(found))


def _near(values: pa.ChunkedArray, tombstones: pa.Table) -> Match:
    hashes = values.fill_null(0).to_numpy()
    known = np.asarray(values.is_valid())
    mask, found = np.zeros(len(values), dtype=bool), set()
    for stone in tombstones.select(["phash", "phash_distance"]).to_pylist():
        if stone["phash"] is not None:
            distances = np.bitwise_count(hashes ^ np.uint64(stone["phash"]))
            near = distances <= (stone["phash_distance"] or 0)
            mask |= near & known
            found |= {stone["phash"]} if (near & known).any() else set()
    return Match(mask=mask, found=frozenset(found))
