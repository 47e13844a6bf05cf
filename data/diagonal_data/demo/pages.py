"""The demo's HTML pages, in the varied mark-up of a real web. Pure: entries in, text out.

    /index.html                     links to the galleries, the other hosts and the private page
    /gallery/STYLE/GROUP-1.html     up to 60 pictures of one emoji group, in one style
    /private/gallery.html           disallowed by robots.txt

Each page also carries what is no content: a spacer, the site's logo, a wide banner.
"""

import re
from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby

from diagonal_data.demo.chance import choose, fraction
from diagonal_data.demo.emoji import Drawing
from diagonal_data.demo.web import ADDRESSES, Entry

CAPTION_FORMS = (
    ("{label}", 25),
    ("an emoji of {label}", 25),
    ("{label} emoji", 25),
    ("a drawing of {label}", 20),
    ("{label}: {keywords}", 5),
)
"""Forms of caption and their weights; `keywords` are two of the concept's keywords."""
KEYWORDS_IN_CAPTION = 2
MARKUPS = (("alt", 45), ("figure", 20), ("srcset", 12), ("lazy", 13), ("title", 10))
PAGE_SIZE = 60
PRIVATE_PAGE = "/private/gallery.html"
PLACEHOLDER = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
SPACER, LOGO, BANNER = "/assets/spacer.gif", "/assets/logo.png", "/assets/banner.jpg"
NOISE_BEFORE = (
    f'<p><img src="{LOGO}" alt="logo" width="120" height="40">'
    f'<img src="{SPACER}" alt="spacer" width="1" height="1"></p>'
)
NOISE_AFTER = f'<p><img src="{BANNER}" alt="advertisement banner" width="720" height="90"></p>'


def caption_for(drawing: Drawing) -> str:
    """What the page says about the drawing: one of `CAPTION_FORMS`, always with the label."""
    concept = drawing.concept
    words = (drawing.style, concept.hexcode)
    spoken = sorted(
        (k for k in concept.keywords if k not in concept.label),
        key=lambda keyword: fraction("keyword", *words, keyword),
    )
    keywords = ", ".join(spoken[:KEYWORDS_IN_CAPTION])
    forms = [form for form in CAPTION_FORMS if keywords or "{keywords}" not in form[0]]
    return choose(forms, "caption", *words).format(label=concept.label, keywords=keywords)


def plan_pages(entries: Sequence[Entry], port: int) -> dict[str, dict[str, str]]:
    """Address → path → HTML of every page of the web."""
    pages = {}
    for address in ADDRESSES:
        own = [entry for entry in entries if entry.address == address]
        galleries = _galleries([entry for entry in own if entry.kind != "private_page"])
        hidden = [entry for entry in own if entry.kind == "private_page"]
        pages[address] = {
            "/index.html": _index(address, list(galleries), port),
            PRIVATE_PAGE: _gallery(PRIVATE_PAGE, hidden, {}, port),
        } | {path: _gallery(path, shown, galleries, port) for path, shown in galleries.items()}
    return pages


def element_for(entry: Entry, port: int) -> str:
    """The entry as an HTML element: `MARKUPS` with the caption where that form has it."""
    caption = escape(caption_for(entry.drawing))
    source = _source(entry, port)
    size = f' width="{entry.look.width}"' if fraction("size", entry.path) < 0.5 else ""
    match choose(MARKUPS, "markup", entry.path):
        case "figure":
            image = f'<img src="{source}" alt=""{size}>'
            return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
        case "srcset":
            half = entry.look.width // 2
            variants = f"{source}?w={half} {half}w, {source} {entry.look.width}w"
            return f'<img src="{source}" srcset="{variants}" sizes="50vw" alt="{caption}">'
        case "lazy":
            return f'<img src="{PLACEHOLDER}" data-src="{source}" alt="{caption}"{size}>'
        case "title":
            return f'<img src="{source}" title="{caption}"{size}>'
        case _:
            return f'<img src="{source}" alt="{caption}"{size}>'


def _source(entry: Entry, port: int) -> str:
    """The address as pages write it: from the root, in full, or without the scheme."""
    full = entry.url(port)
    forms = ((entry.path, 60), (full, 30), (full.removeprefix("http:"), 10))
    return choose(forms, "source", entry.path)


def _galleries(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Page path → its entries: by style and group, `PAGE_SIZE` on a page."""

    def shelf(entry: Entry) -> tuple[str, str]:
        group = re.sub(r"[^a-z]+", "-", entry.drawing.concept.group)
        return entry.drawing.style, group

    pages = {}
    for (style, group), members in groupby(sorted(entries, key=shelf), key=shelf):
        shown = list(members)
        for number, start in enumerate(range(0, len(shown), PAGE_SIZE), start=1):
            path = f"/gallery/{style}/{group}-{number}.html"
            pages[path] = shown[start : start + PAGE_SIZE]
    return pages


def _index(address: str, galleries: Sequence[str], port: int) -> str:
    own = [f'<li><a href="{path}">{_title(path)}</a></li>' for path in galleries]
    others = [
        f'<li><a href="http://{other}:{port}/">{other}</a></li>'
        for other in ADDRESSES
        if other != address
    ]
    private = f'<p><a href="{PRIVATE_PAGE}">for members</a></p>'
    return _page("Emoji galleries", ["<ul>", *own, "</ul>", private, "<ul>", *others, "</ul>"])


def _gallery(
    path: str, entries: Sequence[Entry], galleries: Mapping[str, Sequence[Entry]], port: int
) -> str:
    images = [f"<div>{element_for(entry, port)}</div>" for entry in entries]
    order = list(galleries)
    after = order[order.index(path) + 1 :] if path in galleries else []
    following = [f'<a rel="next" href="{after[0]}">next</a>'] if after else []
    return _page(_title(path), [*images, '<p><a href="/">home</a>', *following, "</p>"])


def _title(path: str) -> str:
    """`/gallery/noto/food-drink-2.html` → `noto food drink 2`."""
    name = path.removeprefix("/gallery").removesuffix(".html")
    return re.sub(r"[/-]+", " ", name).strip()


def _page(title: str, body: Sequence[str]) -> str:
    head = (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f"<title>{escape(title)}</title></head>\n<body>\n<h1>{escape(title)}</h1>"
    )
    return "\n".join([head, NOISE_BEFORE, *body, NOISE_AFTER, "</body>\n</html>\n"])
