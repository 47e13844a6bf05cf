"""What a page says of itself in its head: opt-outs, and images for other sites and for machines.

<meta name=robots content=…>             and one named after our product token
<meta property=og:image content=…>       Open Graph, with og:image:alt, :width and :height
<script type=application/ld+json>        schema.org's ImageObject: contentUrl or url,
                                         caption or name, license, width, height
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from diagonal_data.candidates.page_attributes import attributes, pixels, value_of
from diagonal_data.candidates.page_scan import PageScan
from diagonal_data.candidates.page_text import collapse

MAX_NODES = 20_000
"""Of one JSON document; what comes after is not read."""


@dataclass(kw_only=True)
class StatedImage:
    """An image that the page names beside its own tags."""

    address: str
    source: str
    text: str = ""
    licence: str | None = None
    width: int | None = None
    height: int | None = None


@dataclass(kw_only=True)
class MetaFacts:
    """What the `<meta>` tags say."""

    directives: set[str]
    images: list[StatedImage]


def meta_words(agent: str | None) -> list[bytes]:
    """Of which a `<meta>` must have one to be looked at."""
    return [b"robots", b"og:image", *([agent.lower().encode()] if agent else [])]


def read_metas(pairs: Sequence[tuple[str, str]], agent: str | None) -> MetaFacts:
    """The facts in (name, content) pairs."""
    facts = MetaFacts(directives=set(), images=[])
    names = {"robots", (agent or "robots").lower()}
    for name, content in pairs:
        if name in names:
            facts.directives |= {word.strip().lower() for word in content.split(",")}
        elif name in ("og:image", "og:image:url"):
            if not facts.images or facts.images[-1].address != content:
                facts.images.append(StatedImage(address=content, source="og"))
        elif name.startswith("og:image:") and facts.images:
            image = facts.images[-1]
            if name == "og:image:alt":
                image.text = content
            elif name == "og:image:width":
                image.width = pixels(content)
            elif name == "og:image:height":
                image.height = pixels(content)
    return facts


def meta_pairs(scan: PageScan) -> list[tuple[str, str]]:
    """Names in lower case, and contents."""
    pairs = []
    for span in scan.metas:
        tag = attributes(scan.body, *span)
        content = value_of(tag.get(b"content"))
        for attribute in (b"name", b"property"):
            name = value_of(tag.get(attribute)).strip().lower()
            if name:
                pairs.append((name, content))
                break
    return pairs


def read_linked_data(scan: PageScan) -> list[StatedImage]:
    """The ImageObjects in the page's JSON-LD."""
    images = []
    for tag, text in scan.scripts:
        script = scan.body[text[0] : text[1]]
        if b"ImageObject" not in script or b"ld+json" not in scan.body[tag[0] : tag[1]].lower():
            continue
        try:
            document = msgspec.json.decode(script)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            continue
        images += [image for node in _objects(document) if (image := _image_object(node))]
    return images


def _objects(document: Any) -> Iterator[Mapping[str, Any]]:
    """The objects in a document, in order."""
    waiting = [document]
    for _ in range(MAX_NODES):
        if not waiting:
            return
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += [
                child for child in reversed(node.values()) if isinstance(child, dict | list)
            ]
        elif isinstance(node, list):
            waiting += reversed(node)


def _image_object(node: Mapping[str, Any]) -> StatedImage | None:
    kinds = node.get("@type")
    if "ImageObject" not in (kinds if isinstance(kinds, list) else [kinds]):
        return None
    address = _text(node, "contentUrl") or _text(node, "url")
    if not address:
        return None
    return StatedImage(
        address=address,
        source="json-ld",
        text=_text(node, "caption") or _text(node, "description") or _text(node, "name"),
        licence=_text(node, "license") or None,
        width=pixels(str(node.get("width"))),
        height=pixels(str(node.get("height"))),
    )


def _text(node: Mapping[str, Any], name: str) -> str:
    value = node.get(name)
    return collapse(value) if isinstance(value, str) else ""
