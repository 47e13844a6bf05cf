"""The columns that stages hand to each other.

    CANDIDATE_SCHEMA   candidates/part-*.parquet       URL and text, nothing fetched yet
    ROW_SCHEMA         shards/00000000.parquet         one row per candidate, failed ones too

The uid is the join key of everything: resume, dedup, filters and takedown are set operations on it.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit, urlunsplit

import pyarrow as pa

SCHEMA_VERSION = 1
DEFAULT_PORTS = {"http": 80, "https": 443}

CANDIDATE_SCHEMA = pa.schema(
    [
        pa.field("uid", pa.string(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("caption", pa.string(), nullable=False),
        pa.field("caption_raw", pa.string()),
        pa.field("page_url", pa.string()),
        pa.field("source", pa.string()),
        pa.field("lang", pa.string()),
        pa.field("width_hint", pa.int32()),
        pa.field("height_hint", pa.int32()),
        pa.field("licence", pa.string()),
    ]
)
"""`uid`: 32 hex digits; `caption`: cleaned text, `caption_raw` as found; `source`: where in the
page or list the text stood (`alt`, `figcaption`, `title`,
`aria-label`, `list`); hints: pixels, as declared."""

ROW_SCHEMA = pa.schema(
    [
        *CANDIDATE_SCHEMA,
        pa.field("key", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("http_status", pa.int32()),
        pa.field("fetch_ms", pa.int32()),
        pa.field("original_width", pa.int32()),
        pa.field("original_height", pa.int32()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("sha256", pa.string()),
        pa.field("phash", pa.uint64()),
        pa.field("tar_offset", pa.int64()),
        pa.field("tar_bytes", pa.int64()),
        pa.field("robots", pa.string()),
    ]
)
"""`status`: `success` or `failed`; `reason`: a `Reason`, null on success; `sha256`: of the bytes as
fetched; `phash`: of the pixels as stored; `tar_offset`, `tar_bytes`: the sample's members in the
shard's tar, headers and padding included; `robots`: `allowed`, `disallowed` or `not_asked`."""


class Reason(StrEnum):
    """Why a candidate became no sample: a closed set, so that the funnel always adds up."""

    BAD_URL = "bad_url"
    ADDRESS_REFUSED = "address_refused"
    ROBOTS_DISALLOWED = "robots_disallowed"
    OPTED_OUT = "opted_out"
    DNS_FAILED = "dns_failed"
    CONNECT_FAILED = "connect_failed"
    TIMED_OUT = "timed_out"
    TOO_MANY_REDIRECTS = "too_many_redirects"
    HTTP_CLIENT_ERROR = "http_client_error"
    HTTP_SERVER_ERROR = "http_server_error"
    BODY_TOO_LARGE = "body_too_large"
    BODY_INCOMPLETE = "body_incomplete"
    EMPTY_BODY = "empty_body"
    NOT_AN_IMAGE = "not_an_image"
    DECODE_FAILED = "decode_failed"
    TRUNCATED_IMAGE = "truncated_image"
    TOO_MANY_PIXELS = "too_many_pixels"
    IMAGE_TOO_SMALL = "image_too_small"
    ANIMATED_IMAGE = "animated_image"
    ENGINE_FAILED = "engine_failed"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A URL and its text, not fetched; fields as in `CANDIDATE_SCHEMA`."""

    uid: str
    url: str
    caption: str
    caption_raw: str | None = None
    page_url: str | None = None
    source: str | None = None
    lang: str | None = None
    width_hint: int | None = None
    height_hint: int | None = None
    licence: str | None = None


def uid_for(url: str, caption: str) -> str:
    """32 hex digits: BLAKE2b-128 of the canonical URL and the caption (RFC 7693)."""
    content = f"{canonical_url(url)}\n{caption}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def canonical_url(url: str) -> str:
    """The same resource, spelled one way: RFC 3986 §6.2 case, default port, empty path, fragment.

    Query and path are kept to the letter: a server may tell them apart. A string that is no URL
    comes back stripped, so that it still has a uid and can end as a `bad_url` row.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = (parts.hostname or ""), parts.port
    except ValueError:
        return url.strip()
    if not host:
        return url.strip()
    scheme = parts.scheme.lower()
    host = f"[{host}]" if ":" in host else host
    if port is not None and port != DEFAULT_PORTS.get(scheme):
        host = f"{host}:{port}"
    return urlunsplit((scheme, host, parts.path or "/", parts.query, ""))


def candidate_for(url: str, caption: str, **known: str | int | None) -> Candidate:
    """A candidate with its uid computed; `known` are the optional columns."""
    return Candidate(uid=uid_for(url, caption), url=url, caption=caption, **known)  # pyright: ignore[reportArgumentType]  # columns are typed by the schema at write time


def candidates_table(candidates: list[Candidate]) -> pa.Table:
    """Candidates as a table of `CANDIDATE_SCHEMA`."""
    return pa.Table.from_pylist([vars(c) for c in candidates], schema=CANDIDATE_SCHEMA)


def candidates_from(table: pa.Table) -> list[Candidate]:
    """The inverse of `candidates_table`; other columns are passed over."""
    return [Candidate(**row) for row in table.select(CANDIDATE_SCHEMA.names).to_pylist()]
