"""The columns that stages hand to each other.

    CANDIDATE_SCHEMA   candidates/part-*.parquet       URL and text, nothing fetched yet
    ROW_SCHEMA         shards/00000000.parquet         one row per candidate, failed ones too

The uid is the join key of everything: resume, dedup, filters and takedown are set operations on it.
"""

import hashlib
from collections.abc import Sequence
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
        pa.field("face_bboxes", pa.list_(pa.list_(pa.float32()))),
        pa.field("lang_p", pa.float32()),
        pa.field("page_lang", pa.string()),
        pa.field("other_texts", pa.list_(pa.string())),
        pa.field("matches", pa.list_(pa.int32())),
        pa.field("keep_p", pa.float32()),
    ]
)
"""`uid`: 32 hex digits; `caption`: cleaned text, `caption_raw` as found; `source`: where in the
page or list the text stood (`alt`, `figcaption`, `title`, `aria-label`, `json-ld`, `og`, `list`);
hints: pixels, as declared; `face_bboxes`: [left, top, right, bottom] of faces to blur, 0–1 of the
upright image's sides (DataComp's column); `lang`, `lang_p`: of the caption, as detected, or as the
list has it; `page_lang`: as the page declares it; `other_texts`: further texts of the image, as
found; `matches`: places in the metadata of the entries in the caption; `keep_p`: the probability
with which balancing kept the row."""

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
        pa.field("x_robots_tag", pa.string()),
        pa.field("tdm_reservation", pa.string()),
        pa.field("content_usage", pa.string()),
        pa.field("final_url", pa.string()),
        pa.field("attempts", pa.int32()),
        pa.field("image_copyright", pa.string()),
        pa.field("image_licence_url", pa.string()),
        pa.field("image_creator", pa.string()),
        pa.field("image_credit", pa.string()),
        pa.field("image_data_mining", pa.string()),
    ]
)
"""`status`: `success` or `failed`; `reason`: a `Reason`, null on success; `sha256`: of the bytes as
fetched; `phash`: of the pixels as stored; `tar_offset`, `tar_bytes`: the sample's members in the
shard's tar, headers and padding included. The verdicts: `robots` is `allowed`, `disallowed` or
`not_asked`; `x_robots_tag` and `content_usage` are the headers as sent; `tdm_reservation` is `1`
or `0` as TDMRep states it, by header or site file. `final_url`: after redirects, null if there were
none; `attempts`: times the image was asked for, redirects not counted. `image_*`: what XMP and IPTC
inside the file say of rights; `image_data_mining` is the PLUS code, such as `DMI-PROHIBITED`."""


class Reason(StrEnum):
    """Why a candidate became no sample: a closed set, so that the funnel always adds up."""

    BAD_URL = "bad_url"
    SCHEME_REFUSED = "scheme_refused"
    URL_TOO_LONG = "url_too_long"
    URL_HAS_CREDENTIALS = "url_has_credentials"
    BAD_CAPTION = "bad_caption"
    BLOCKED_URL = "blocked_url"
    BLOCKED_HOST = "blocked_host"
    BLOCKED_IMAGE = "blocked_image"
    TAKEN_DOWN = "taken_down"
    ADDRESS_REFUSED = "address_refused"
    CONTACT_MISSING = "contact_missing"
    ROBOTS_DISALLOWED = "robots_disallowed"
    ROBOTS_UNREACHABLE = "robots_unreachable"
    OPTED_OUT = "opted_out"
    HOST_OPTED_OUT = "host_opted_out"
    HOST_UNAVAILABLE = "host_unavailable"
    DNS_FAILED = "dns_failed"
    CONNECT_FAILED = "connect_failed"
    TLS_FAILED = "tls_failed"
    TIMED_OUT = "timed_out"
    UNIT_TIMED_OUT = "unit_timed_out"
    TOO_SLOW = "too_slow"
    TOO_MANY_REDIRECTS = "too_many_redirects"
    NOT_FOUND = "not_found"
    FORBIDDEN = "forbidden"
    RATE_LIMITED = "rate_limited"
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
    BANNER = "banner"
    ANIMATED_IMAGE = "animated_image"
    TRANSPARENT_IMAGE = "transparent_image"
    ENGINE_FAILED = "engine_failed"


TRANSIENT = frozenset(
    {
        Reason.CONTACT_MISSING,
        Reason.ROBOTS_UNREACHABLE,
        Reason.HOST_UNAVAILABLE,
        Reason.DNS_FAILED,
        Reason.CONNECT_FAILED,
        Reason.TIMED_OUT,
        Reason.UNIT_TIMED_OUT,
        Reason.TOO_SLOW,
        Reason.RATE_LIMITED,
        Reason.HTTP_SERVER_ERROR,
        Reason.BODY_INCOMPLETE,
        Reason.ENGINE_FAILED,
    }
)
"""Another day may have another answer: what `shards --retry transient` asks for again."""
DECODE_REASONS = frozenset(
    {
        Reason.NOT_AN_IMAGE,
        Reason.DECODE_FAILED,
        Reason.TRUNCATED_IMAGE,
        Reason.TOO_MANY_PIXELS,
        Reason.IMAGE_TOO_SMALL,
        Reason.BANNER,
        Reason.ANIMATED_IMAGE,
        Reason.TRANSPARENT_IMAGE,
    }
)
"""Of bytes that arrived whole: img2dataset's `failed_to_resize`."""


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
    face_bboxes: Sequence[Sequence[float]] | None = None
    lang_p: float | None = None
    page_lang: str | None = None
    other_texts: Sequence[str] | None = None
    matches: Sequence[int] | None = None
    keep_p: float | None = None


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
