"""The plan of the demo's web: which picture lies where, under which address, with which fault.

Every drawing has one `drawing` entry. All others are additional and show training styles only, so
that a fault never costs a drawing that evaluation needs:

    resized        same picture, other size and format            perceptual duplicate
    copy           same bytes                                     exact duplicate
    gone, error    404, 500
    moved, loop    301 or 302 to the drawing; two that lead to each other
    noai           same bytes, served with X-Robots-Tag: noai
    truncated      the first part of a JPEG
    not_image      HTML or text in a file called .jpg
    private        same bytes under a path that robots.txt disallows
    private_page   same bytes, linked only from a page that robots.txt disallows
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from diagonal_data.demo.chance import fraction
from diagonal_data.demo.emoji import HELD_OUT_STYLES, Drawing, styles
from diagonal_data.demo.render import Look, look_for, resized_look

ADDRESSES = ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5")
DEFAULT_PORT = 8101
EXTRA_SHARES = {
    "resized": 0.05,
    "copy": 0.02,
    "gone": 0.01,
    "error": 0.01,
    "moved": 0.01,
    "noai": 0.01,
    "truncated": 0.01,
    "not_image": 0.01,
    "private": 0.01,
    "private_page": 0.01,
}
"""Additional entries, as shares of all drawings; at least one of each."""
ROBOTS_TXT = "User-agent: *\nDisallow: /private/\n"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One image address; `path` is that on its host, `kind` one of the table above."""

    kind: str
    address: str
    path: str
    drawing: Drawing
    look: Look

    def url(self, port: int) -> str:
        return f"http://{self.address}:{port}{self.path}"


def hosts_at(port: int) -> tuple[str, ...]:
    """The web's hosts as HOST:PORT."""
    return tuple(f"{address}:{port}" for address in ADDRESSES)


DEMO_WEB = "out/demo/web"
DEMO_HOSTS = hosts_at(DEFAULT_PORT)


def address_of(style: str) -> str:
    """Each host shows the drawings of two styles."""
    return ADDRESSES[list(styles()).index(style) % len(ADDRESSES)]


def path_of(drawing: Drawing, image_format: str, folder: str = "") -> str:
    """`/noto/1f600-grinning-face.jpg`; with a folder, `/noto/FOLDER/1f600-grinning-face.jpg`."""
    slug = re.sub(r"[^a-z0-9]+", "-", drawing.concept.label.lower()).strip("-")
    name = "-".join(part for part in (drawing.concept.hexcode, slug) if part)
    return "/".join(["", *filter(None, (drawing.style, folder)), f"{name}.{image_format}"])


def plan_entries(drawings: Sequence[Drawing]) -> list[Entry]:
    """Every image address of the web, ordered by host and path."""
    main = [_entry("drawing", d, look_for(d.style, d.concept.hexcode)) for d in drawings]
    training = [e for e in main if e.drawing.style not in HELD_OUT_STYLES]
    extra = [
        _extra(kind, entry)
        for kind, share in EXTRA_SHARES.items()
        for entry in _chosen(kind, training, max(1, round(share * len(main))))
    ]
    loop = [_extra("loop", entry) for entry in _loop(training)]
    return sorted(main + extra + loop, key=lambda e: (e.address, e.path))


def plan_responses(entries: Sequence[Entry], port: int) -> dict[str, dict[str, dict]]:
    """What the server must do beyond serving files: address → path → status and headers."""
    responses: dict[str, dict[str, dict]] = {address: {} for address in ADDRESSES}
    loop = [entry for entry in entries if entry.kind == "loop"]
    for entry in entries:
        if entry.kind == "loop":
            other = loop[1 - loop.index(entry)]
            answer = {"status": 302, "headers": {"Location": other.url(port)}}
        elif entry.kind == "moved":
            answer = _redirect(entry, port)
        elif entry.kind == "error":
            answer = {"status": 500, "headers": {}}
        elif entry.kind == "noai":
            answer = {"status": 200, "headers": {"X-Robots-Tag": "noai"}}
        elif entry.kind == "not_image" and is_html(entry):
            answer = {"status": 200, "headers": {"Content-Type": "text/html; charset=utf-8"}}
        else:
            continue
        responses[entry.address][entry.path] = answer
    return responses


def is_html(entry: Entry) -> bool:
    """Whether a `not_image` file is HTML; the others are text and served as image/jpeg."""
    return fraction("html", entry.path) < 0.5


def _entry(kind: str, drawing: Drawing, look: Look, folder: str = "") -> Entry:
    return Entry(
        kind=kind,
        address=address_of(drawing.style),
        path=path_of(drawing, look.format, folder),
        drawing=drawing,
        look=look,
    )


def _extra(kind: str, entry: Entry) -> Entry:
    drawing, look = entry.drawing, entry.look
    if kind == "resized":
        look = resized_look(look, drawing.style, drawing.concept.hexcode)
        return _entry(kind, drawing, look, "gallery")
    if kind == "not_image":
        look = replace(look, format="jpg")
    if kind == "private":
        path = f"/private{path_of(drawing, look.format)}"
        return Entry(kind=kind, address=entry.address, path=path, drawing=drawing, look=look)
    return _entry(kind, drawing, look, kind.replace("_", "-"))


def _chosen(kind: str, entries: Sequence[Entry], count: int) -> list[Entry]:
    if kind == "truncated":
        entries = [entry for entry in entries if entry.look.format == "jpg"]
    return sorted(entries, key=lambda e: fraction(kind, e.path))[:count]


def _loop(entries: Sequence[Entry]) -> list[Entry]:
    """Two entries of one host, which lead to each other."""
    first = _chosen("loop", entries, 1)[0]
    same_host = [e for e in entries if e.address == first.address and e is not first]
    return [first, *_chosen("loop", same_host, 1)]


def _redirect(entry: Entry, port: int) -> dict:
    target = path_of(entry.drawing, entry.look.format)
    if fraction("status", entry.path) < 0.5:
        return {"status": 301, "headers": {"Location": target}}
    absolute = f"http://{entry.address}:{port}{target}"
    return {"status": 302, "headers": {"Location": absolute}}
