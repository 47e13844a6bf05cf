"""One key for the addresses under which one picture is served: what deduplication compares.

The key is for comparing only; what is fetched, and the uid, keep the address as it was found. In
order, each a rule of a table below:

    spelling      RFC 3986 §6.2: case of scheme and host, default port, fragment (canonical_url);
                  %7e and ~, %c3%a4 and ä are one; http and https are one
    proxy         i0.wp.com/HOST/PATH is HOST/PATH
    path          sizes that image servers write into names: -800x600, _640x, =s1024, @2x …
    parameters    tracking, sizes; on paths that end like an image also quality and versions

Blind spots: mirrors, `www.`, order of parameters and international hosts in both spellings are told
apart; a picture cropped by its server counts as the same. A name that happens to end like a size
(`lot-120x240.jpg` beside `lot.jpg`) is taken for one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

import numpy as np
import pyarrow as pa
from xxhash import xxh3_64_intdigest

from diagonal_data.candidates.text_columns import as_strings, matches, replaced
from diagonal_data.robots import PRINTABLE_ASCII
from diagonal_data.schema import canonical_url

ENDING = r"\.(?:avif|gif|jpe?g|png|webp)"
# At least one side of three digits: `poster-24x36.jpg` is a poster of that size.
SIDES = r"(?:\d{3,4}x\d{2,4}|\d{2,4}x\d{3,4})"


@dataclass(frozen=True, kw_only=True)
class PathRule:
    """What of a path does not tell pictures apart, and what stands in its place."""

    name: str
    pattern: str
    becomes: str = ""
    hosts: str = ""
    """Expression for the end of the host; none: any host."""
    sign: str
    """RE2 expression that every URL has which the rule may touch: others are not looked at."""


PATH_RULES = (
    PathRule(name="session", pattern=r"(?i);jsessionid=[^/;?]*", sign=";"),
    PathRule(name="wordpress", pattern=rf"(?i)(?<=[^/])-{SIDES}(?={ENDING}$)", sign=r"-\d+[xX]\d"),
    PathRule(
        name="wordpress scaled",
        pattern=rf"(?i)(?<=[^/])-scaled(?={ENDING}$)",
        sign="-[sS][cC][aA][lL][eE][dD]",
    ),
    PathRule(name="underscore", pattern=rf"(?i)(?<=[^/])_{SIDES}(?={ENDING}$)", sign=r"_\d+[xX]\d"),
    PathRule(name="retina", pattern=rf"(?i)(?<=[^/])@[23]x(?={ENDING}$)", sign="@"),
    PathRule(name="drupal", pattern=r"/files/styles/[^/]+/public/", becomes="/files/", sign="/sty"),
    PathRule(
        name="shopify",
        hosts=r"cdn\.shopify\.com",
        pattern=r"(?i)_(?:pico|icon|thumb|small|compact|medium|large|grande|\d{2,4}x(?:\d{2,4})?"
        rf"|x\d{{2,4}})(?:_crop_[a-z]+)?(?:@[23]x)?(?:\.progressive)?(?={ENDING}$)",
        sign="shopify",
    ),
    PathRule(
        name="google",
        hosts=r"(?:googleusercontent|ggpht)\.com",
        pattern=r"=(?:[swh]\d+)(?:-[a-z0-9]+)*$",
        sign="=",
    ),
    PathRule(
        name="blogger",
        hosts=r"(?:bp\.blogspot|blogger\.googleusercontent)\.com",
        pattern=r"/(?:s\d+|w\d+)(?:-[a-z0-9]+)*/(?=[^/]+$)",
        becomes="/",
        sign="blog",
    ),
    PathRule(
        name="wikimedia",
        hosts=r"upload\.wikimedia\.org",
        pattern=r"/thumb(/[0-9a-f]/[0-9a-f]{2}/[^/]+)/[^/]+$",
        becomes=r"\1",
        sign="wikimedia",
    ),
    PathRule(
        name="amazon",
        hosts=r"(?:media-amazon|(?:ssl-)?images-amazon)\.com",
        pattern=rf"(?<=[^/])\._[A-Za-z0-9,_-]+_(?={ENDING}$)",
        sign="amazon",
    ),
    PathRule(
        name="cloudinary",
        hosts=r"res\.cloudinary\.com",
        pattern=r"(?<=/upload/)(?:(?:w|h|c|q|f|g|dpr|fl)_[^,/]+(?:,(?:w|h|c|q|f|g|dpr|fl)_[^,/]+)*/)+",
        sign="cloudinary",
    ),
    PathRule(
        name="flickr",
        hosts=r"static\.?flickr\.com",
        pattern=r"(?<=_[0-9a-f]{10})_[bchklmnqstwz](?=\.jpg$)",
        sign="flickr",
    ),
    PathRule(
        name="pinterest",
        hosts=r"pinimg\.com",
        pattern=r"^/(?:\d+x(?:\d+)?(?:_RS)?|originals)/",
        becomes="/",
        sign="pinimg",
    ),
    PathRule(
        name="tumblr", hosts=r"tumblr\.com", pattern=rf"_\d{{2,4}}(?={ENDING}$)", sign="tumblr"
    ),
    PathRule(name="ebay", hosts=r"ebayimg\.com", pattern=r"/s-l\d+(?=\.)", sign="ebayimg"),
    PathRule(
        name="wix",
        hosts=r"wixstatic\.com",
        pattern=r"^(/media/[^/]+)/v1/.*$",
        becomes=r"\1",
        sign="wixstatic",
    ),
    PathRule(
        name="twitter",
        hosts=r"pbs\.twimg\.com",
        pattern=r":(?:orig|large|medium|small|thumb)$",
        sign="twimg",
    ),
)
PROXY = re.compile(r"/(?P<host>[a-z0-9-]+(?:\.[a-z0-9-]+)+)(?P<path>/.*)", re.IGNORECASE)
PROXY_HOSTS = frozenset({"i0.wp.com", "i1.wp.com", "i2.wp.com", "i3.wp.com"})

_LENGTH = r"(?:max[-_]?)?(?:w|h|width|height)"
TRACKING = (
    r"utm_\w+|fbclid|gclid|gclsrc|dclid|gbraid|wbraid|msclkid|yclid|twclid|ttclid|igshid|igsh"
    r"|mc_cid|mc_eid|_ga|_gl|_hsenc|_hsmi|mkt_tok|ref_src|ref_url|srsltid|vero_id|oly_\w+_id"
    r"|phpsessid|jsessionid"
)
SIZES = (
    rf"(?:{_LENGTH}|imwidth|imheight|wid|hei|sz)=\d{{2,5}}(?:px)?"
    r"|(?:size|resize|fit|crop)=\d{2,5}(?:px)?(?:(?:,|x|%2C)\d{2,5}(?:px)?)?"
    r"|dpr=\d(?:\.\d+)?|format=\d+w|name=(?:orig|large|medium|small|thumb|\d+x\d+)"
)
# Where the path is no image these may choose what is served.
OF_IMAGES = (
    r"(?:q|quality|qlt|zoom|ssl|strip|upscale|rect|ixlib|ixid|itok)=[^&]*"
    r"|fit=[a-z-]+|crop=[a-z,%0-9]+|auto=[a-z,%0-9]+|(?:fm|format)=(?:auto|avif|jpe?g|p?jpg|png|webp)"
    r"|(?:v|ver|version|rev|t|ts|timestamp|cb|_)=[\d.]+"
)
DROPPED = re.compile(rf"(?:{TRACKING})(?:=.*)?|{SIZES}", re.IGNORECASE)
DROPPED_OF_IMAGES = re.compile(rf"{DROPPED.pattern}|{OF_IMAGES}", re.IGNORECASE)
IMAGE_PATH = re.compile(rf"{ENDING}$", re.IGNORECASE)

_ANYWHERE = [(re.compile(r.pattern), r.becomes) for r in PATH_RULES if not r.hosts]
_OF_HOSTS = [
    (re.compile(rf"(?:^|\.){r.hosts}$"), re.compile(r.pattern), r.becomes)
    for r in PATH_RULES
    if r.hosts
]
_ANY_HOST = re.compile("|".join(hosts.pattern for hosts, _, _ in _OF_HOSTS))
PARTS = re.compile(r"https?://([^/]*)(/[^?]*)(?:\?(.*))?", re.DOTALL)
ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
# What no rule touches: no parameters, no escapes, no port, only small letters in the host.
PLAIN = r"^https?://[a-z0-9-]+(\.[a-z0-9-]+)+/[A-Za-z0-9/._~!$'()*+,-]*$"
MAYBE_RULED = re.compile("|".join(f"(?:{r.sign})" for r in PATH_RULES if not r.hosts))
SIGNS = "|".join(["//i[0-3]", *(f"(?:{rule.sign})" for rule in PATH_RULES)])


def dedup_url(url: str) -> str:
    """The spelling that all addresses of one picture share, as far as the rules know.

    A string that is no http(s) URL comes back as `canonical_url` leaves it.
    """
    parts = PARTS.fullmatch(canonical_url(url))
    if parts is None:
        return canonical_url(url)
    host, path, query = parts[1], parts[2], parts[3] or ""
    if host in PROXY_HOSTS and (proxied := PROXY.fullmatch(path)):
        host, path, query = proxied["host"].lower(), proxied["path"], ""
    path = _path_key(host, _one_spelling(path))
    query = _query_key(path, _one_spelling(query)) if query else ""
    return f"https://{host}{path}?{query}" if query else f"https://{host}{path}"


def url_keys(urls: pa.Array | pa.ChunkedArray | Sequence[str]) -> np.ndarray:
    """XXH3-64 of the `dedup_url` of each; uint64."""
    is_column = isinstance(urls, pa.Array | pa.ChunkedArray)
    column = as_strings(urls) if is_column else pa.array(urls, pa.string())
    plain = matches(column, PLAIN) & ~matches(column, SIGNS)
    keys = np.empty(len(column), np.uint64)
    chosen = column if plain.all() else column.filter(pa.array(plain))
    if matches(chosen, "^http:").any():
        chosen = replaced(chosen, "^http:", "https:")
    keys[plain] = _hashes(chosen)
    others = column.filter(pa.array(~plain)).to_pylist()
    keys[~plain] = _hashes(pa.array([dedup_url(url) for url in others], pa.string()))
    return keys


def _hashes(texts: pa.Array | pa.ChunkedArray) -> np.ndarray:
    content = texts.cast(pa.binary()).to_pylist()
    return np.fromiter(map(xxh3_64_intdigest, content), np.uint64, len(content))


def _one_spelling(text: str) -> str:
    """RFC 3986 §6.2.2: escapes of plain characters resolved, others in capitals, bytes escaped."""
    if not text.isascii() or " " in text:
        text = quote(text, safe=PRINTABLE_ASCII, errors="replace")
    return ESCAPE.sub(_spelled, text) if "%" in text else text


def _spelled(escape: re.Match[str]) -> str:
    character = chr(int(escape[0][1:], 16))
    plain = character.isascii() and (character.isalnum() or character in "-._~")
    return character if plain else escape[0].upper()


def _path_key(host: str, path: str) -> str:
    if MAYBE_RULED.search(path):
        for pattern, becomes in _ANYWHERE:
            path = pattern.sub(becomes, path)
    if _ANY_HOST.search(host):
        for hosts, pattern, becomes in _OF_HOSTS:
            if hosts.search(host):
                path = pattern.sub(becomes, path)
    return path


def _query_key(path: str, query: str) -> str:
    dropped = DROPPED_OF_IMAGES if IMAGE_PATH.search(path) else DROPPED
    parameters = query.replace("&amp;", "&").split("&")
    return "&".join(p for p in parameters if p and not dropped.fullmatch(p))
