"""Image–text pairs and links of one HTML page. Pure.

The address of an image is the first of these that is no data: URL (they are placeholders):
the largest entry of data-srcset or srcset, data-src, data-original, src. Its text is the first that
is not empty: alt, figcaption of the enclosing figure, title, aria-label.
"""

import codecs
import re
from collections import Counter
from dataclasses import dataclass
from urllib.parse import urldefrag, urljoin, urlsplit

from selectolax.lexbor import LexborHTMLParser, LexborNode

from diagonal_data.robots import is_opt_out

MAX_PAGE_BYTES = 2**20
"""What is read of a page, as in Common Crawl."""
MAX_DEPTH = 2_000
"""Open tags at a time. The parser's time grows with the square of the depth: one MiB of `<div>`
takes it 100 seconds. A page deeper than this is read as empty."""
MAX_ATTRIBUTES = 1_000
"""Of one tag. The parser compares each with all before it: half a MiB of them takes it 20 seconds,
a MiB of tags with this many one. A page with a tag of more is read as empty."""
MAX_ANCESTORS = 16
"""How far above an image its figure may be; bounds the work on deep pages."""
# Tags that never nest without a parent that is counted: void ones and those closed by the next.
UNCOUNTED_TAGS = {
    *("area", "base", "br", "col", "dd", "dt", "embed", "hr", "img", "input", "li", "link", "meta"),
    *("option", "p", "param", "source", "tbody", "td", "tfoot", "th", "thead", "tr", "track"),
    *("wbr", "path"),
}
TAG_WITH_ATTRIBUTES = re.compile(r"<[A-Za-z][^\t\n\f\r /><]*+(?=[\t\n\f\r /])")
# As a browser reads them (HTML §13.2.5.32 and on), but that names and bare values end at `<` and
# `/` too: that counts too many rather than too few, and no stretch is scanned over and over.
ATTRIBUTE = re.compile(
    r"""[\t\n\f\r /]*+ [^\t\n\f\r />] [^\t\n\f\r />=<]*+
    (?: [\t\n\f\r ]*+ = [\t\n\f\r ]*+
        (?: "[^"]*+" | '[^']*+' | [^\t\n\f\r />"'<] [^\t\n\f\r /><]*+ )?+ )?+""",
    re.VERBOSE,
)
LINE_BREAKING_TAGS = frozenset({"br", "div", "li", "p", "td", "tr"})
# Encodings a page may name, after Python's own names. Not every codec: `idna` and its kin are no
# encodings of pages, and some take quadratic time.
PAGE_ENCODINGS = (
    *("utf-8", "utf-16", "utf-16-le", "utf-16-be", "ascii", "big5", "koi8-r", "koi8-u", "tis-620"),
    *("iso8859-1", "iso8859-2", "iso8859-5", "iso8859-7", "iso8859-9", "iso8859-15", "cp1250"),
    *("cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "shift_jis"),
    *("euc_jp", "iso2022_jp", "euc_kr", "cp949", "gb2312", "gbk", "gb18030"),
)


@dataclass(frozen=True, kw_only=True)
class ImageText:
    """An image of a page and the text that goes with it, both as the page has them."""

    url: str
    text: str
    source: str | None
    """Where the text stood: alt, figcaption, title or aria-label; None with an empty text."""
    width_hint: int | None = None
    height_hint: int | None = None
    licence: str | None = None


@dataclass(frozen=True, kw_only=True)
class Page:
    """What one page has to offer."""

    pairs: list[ImageText]
    links: list[str]
    title: str | None
    opted_out: bool


def read_page(
    body: bytes, page_url: str, *, charset: str | None = None, agent: str | None = None
) -> Page:
    """The pairs and links of a page, in document order; a page that opted out has no pairs.

    Args:
        body: as fetched; only the first MiB is read.
        page_url: what relative addresses start from, unless the page has a `<base>`.
        charset: from the Content-Type header; beats the page's own word, as browsers have it.
        agent: our product token: `<meta name=AGENT>` is heard like `<meta name=robots>`.
    """
    html = _decoded(body[:MAX_PAGE_BYTES], charset)
    if _is_too_deep(html) or _has_crowded_tag(html):
        return Page(pairs=[], links=[], title=None, opted_out=False)
    document = LexborHTMLParser(html)
    base = document.css_first("base[href]")
    base_url = _resolved(page_url, base.attributes["href"] if base else None) or page_url
    directives = _robots_directives(document, agent)
    title = document.css_first("title")
    opted_out = is_opt_out(directives)
    return Page(
        pairs=[] if opted_out else _pairs(document, base_url),
        links=[] if directives & {"nofollow", "none"} else _links(document, base_url),
        title=(collapse(title.text()) or None) if title else None,
        opted_out=opted_out,
    )


def collapse(text: str) -> str:
    """The text on one line: runs of white space become one space."""
    return " ".join(text.split())


def largest_in_srcset(srcset: str) -> str | None:
    """The URL with the largest `w` or `x` descriptor; the first of equals; 1x where none stands."""
    entries: list[tuple[float, str]] = []
    url, size = "", 1.0
    # URLs may contain commas but no spaces; descriptors the other way round (HTML §4.8.4.2.1).
    for token in srcset.split():
        if not url:
            url = token.lstrip(",")
            ends_entry, rest = url.endswith(","), ""
        else:
            descriptor, comma, rest = token.partition(",")
            size = _descriptor_size(descriptor, size)
            ends_entry = bool(comma)
        if ends_entry:
            entries.append((size, url.rstrip(",")))
            url, size = rest, 1.0
    entries = [entry for entry in [*entries, (size, url)] if entry[1]]
    return max(entries, key=lambda entry: entry[0])[1] if entries else None


def _descriptor_size(descriptor: str, otherwise: float) -> float:
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)[wx]", descriptor)
    return float(found[1]) if found else otherwise


def _pairs(document: LexborHTMLParser, base_url: str) -> list[ImageText]:
    page_licence = None
    for node in document.css("link[rel~=license], a[rel~=license]"):
        if _enclosing_figure(node) is None:
            page_licence = _resolved(base_url, node.attributes.get("href"))
            break
    pairs = []
    for image in document.css("img"):
        url = _image_url(image, base_url)
        if url is None:
            continue
        figure = _enclosing_figure(image)
        source, text = _text_of(image, figure)
        pairs.append(
            ImageText(
                url=url,
                text=text,
                source=source,
                width_hint=_pixels(image.attributes.get("width")),
                height_hint=_pixels(image.attributes.get("height")),
                licence=_figure_licence(figure, base_url) or page_licence,
            )
        )
    return pairs


def _image_url(image: LexborNode, base_url: str) -> str | None:
    attributes = image.attributes
    choices = [largest_in_srcset(attributes.get(n) or "") for n in ("data-srcset", "srcset")]
    choices += [attributes.get(name) for name in ("data-src", "data-original", "src")]
    return next((url for choice in choices if (url := _resolved(base_url, choice))), None)


def _text_of(image: LexborNode, figure: LexborNode | None) -> tuple[str | None, str]:
    caption = figure.css_first("figcaption") if figure else None
    attributes = image.attributes
    choices = [
        ("alt", attributes.get("alt")),
        ("figcaption", _visible_text(caption) if caption else None),
        ("title", attributes.get("title")),
        ("aria-label", attributes.get("aria-label")),
    ]
    return next(((name, text) for name, text in choices if text and text.strip()), (None, ""))


def _visible_text(node: LexborNode) -> str:
    """The text with a space where a new line begins, and none inside `H<sub>2</sub>O`."""
    parts = []
    for child in node.traverse(include_text=True):
        if child.tag in LINE_BREAKING_TAGS:
            parts.append(" ")
        elif child.tag == "-text":
            parts.append(child.text_content or "")
    return "".join(parts)


def _enclosing_figure(node: LexborNode) -> LexborNode | None:
    parent = node.parent
    for _ in range(MAX_ANCESTORS):
        if parent is None or parent.tag == "figure":
            return parent
        parent = parent.parent
    return None


def _figure_licence(figure: LexborNode | None, base_url: str) -> str | None:
    node = figure.css_first("a[rel~=license]") if figure else None
    return _resolved(base_url, node.attributes.get("href")) if node else None


def _links(document: LexborHTMLParser, base_url: str) -> list[str]:
    found: dict[str, None] = {}
    for node in document.css("a[href]"):
        relations = (node.attributes.get("rel") or "").lower().split()
        url = _resolved(base_url, node.attributes["href"])
        if url and "nofollow" not in relations:
            found[urldefrag(url).url] = None
    return list(found)


def _resolved(base_url: str, address: str | None) -> str | None:
    """The absolute http(s) URL, or None for anything else."""
    try:
        url = urljoin(base_url, (address or "").strip()) if address else ""
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and parts.netloc else None


def _robots_directives(document: LexborHTMLParser, agent: str | None) -> set[str]:
    names = {"robots", (agent or "robots").lower()}
    return {
        directive.strip().lower()
        for node in document.css("meta[name][content]")
        if (node.attributes["name"] or "").strip().lower() in names
        for directive in (node.attributes["content"] or "").split(",")
    }


def _pixels(declared: str | None) -> int | None:
    found = re.fullmatch(r"\s*(\d{1,6})(?:px)?\s*", declared or "", re.ASCII)
    return int(found[1]) if found else None


def _is_too_deep(html: str) -> bool:
    """An estimate from the tags alone: a close tag counts only against open ones of its name."""
    open_tags: Counter[str] = Counter()
    depth = 0
    for slash, name in re.findall(r"<(/?)([A-Za-z][A-Za-z0-9]*)", html):
        tag = name.lower()
        if tag in UNCOUNTED_TAGS or (slash and not open_tags[tag]):
            continue
        step = -1 if slash else 1
        open_tags[tag] += step
        depth += step
        if depth > MAX_DEPTH:
            return True
    return False


def _has_crowded_tag(html: str) -> bool:
    """Whether what may be a tag has too many attributes; scripts and comments are not told apart.

    What looks like a tag inside another is followed too. Such ways soon meet, and are followed on
    once only: else the time would grow with the square as the parser's does.
    """
    counts: dict[int, int] = {}
    for tag in TAG_WITH_ATTRIBUTES.finditer(html):
        position, way = tag.end(), []
        while position not in counts and (found := ATTRIBUTE.match(html, position)):
            way.append(position)
            position = found.end()
        count = counts.get(position, 0)
        for step in reversed(way):
            count += 1
            counts[step] = count
        if count > MAX_ATTRIBUTES:
            return True
    return False


def _decoded(body: bytes, charset: str | None) -> str:
    marks = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16"}
    for mark, encoding in {**marks, codecs.BOM_UTF16_BE: "utf-16"}.items():
        if body.startswith(mark):
            return body.decode(encoding, "replace")
    declared = re.search(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([\w.:-]{1,40})", body[:1024], re.I)
    encoding = _page_encoding(charset) if charset else None
    if encoding is None and declared:
        encoding = _page_encoding(declared[1].decode("ascii", "ignore"))
        # A declaration that could be read as ASCII is not in UTF-16 (HTML §13.2.3.2).
        encoding = None if encoding and encoding.startswith("utf-16") else encoding
    return body.decode(encoding or "utf-8", "replace")


def _page_encoding(label: str) -> str | None:
    try:
        name = codecs.lookup(label.strip("\"' ")).name
    except (LookupError, ValueError):
        return None
    # The web means windows-1252 when it says Latin-1 or ASCII (WHATWG Encoding §4.2).
    name = "cp1252" if name in ("ascii", "iso8859-1") else name
    return name if name in PAGE_ENCODINGS else None
