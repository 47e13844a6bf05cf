"""Where the tags of a page are that matter for its images, found in its bytes without a tree.

Of the few that may be such tags (page_tags.py) those that decide anything are checked to stand in
text, as HTML's tokeniser would see it: not in a quoted value, an open tag, a comment, or the raw
text of a script, style, title or textarea. Time is linear in the page, whatever is in it. What only
a tree knows is not known: misnested tables and the like.

`<noscript>` is read as browsers without scripts read it; what is in a `<template>` is left out.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from operator import attrgetter
from typing import NamedTuple

from diagonal_data.candidates.page_attributes import (
    PLAIN_IMAGE,
    PLAIN_NAMES,
    Attributes,
    attributes,
)
from diagonal_data.candidates.page_markup import comment_end, raw_text_end, tag_end, text_from
from diagonal_data.candidates.page_tags import (
    AFTER_NAME,
    COMMENT,
    DOCUMENT,
    FIGURE,
    IMAGE,
    KINDS,
    LINK,
    META,
    PICTURE,
    RAW_TEXT,
    SOURCE,
    TEMPLATE,
    places,
)

MAX_META_BYTES = 4_096
"""Of a `<meta>`, to find the words that make it one of interest."""
FIGURE_REACH = 64
"""How many figures before a position are asked whether it is theirs; bounds the work."""
IMAGE_STARTS = frozenset(b"<img" + bytes([after]) for after in AFTER_NAME)
NAME = re.compile(rb"!--|/?[A-Za-z][^\t\n\f\r />]*+")

Span = tuple[int, int]
"""Where something begins and ends: a tag behind its `>`."""


@dataclass(eq=False, slots=True)
class Figure:
    """One figure of a page."""

    start: int
    end: int
    caption: Span | None = None
    """Of the markup in its first figcaption."""
    licence: str | None = None


class ImageTag(NamedTuple):
    """One `<img>` and what it stands in."""

    start: int
    attributes: Attributes
    """None if it has no text of its own and no figure's."""
    link: int
    """Where the `<a` around it begins, or negative."""
    picture_sources: Sequence[int]
    """Where the tags of its `<picture>` begin that name sources, those before the image."""
    figure: Figure | None


ALT, TITLE = PLAIN_NAMES.index(b"alt"), PLAIN_NAMES.index(b"title")
NO_ATTRIBUTES: Attributes = {}


class PageScan:
    """The tags of one page, of each kind in the order of the page.

    Args:
        body: in UTF-8 or another encoding that holds ASCII.
        metas: words of which a `<meta>` must have one, in lower case, to be looked at.
        links: whether to look at links.
    """

    def __init__(self, body: bytes, *, metas: Sequence[bytes], links: bool = False) -> None:
        self.body = body
        self.images: list[ImageTag] = []
        self.figures: list[Figure] = []
        self.metas: list[Span] = []
        self.links: list[Span] = []
        self.scripts: list[tuple[Span, Span]] = []
        """The tags and their texts."""
        self.base: Span | None = None
        self.document: Span | None = None
        self.title: Span | None = None
        """Of the text, not the tag."""
        self._hidden: list[Span] = []
        self._metas = metas
        # The figures, sources and figcaption that are open.
        self._around: list[Figure] = []
        self._sources: list[int] | None = None
        self._caption: tuple[Figure, int] | None = None
        self._template_depth = 0
        self._read(links)

    def is_hidden(self, position: int) -> bool:
        """Whether a position is in a comment or raw text."""
        place = bisect_right(self._hidden, (position, len(self.body))) - 1
        return place >= 0 and position < self._hidden[place][1]

    def figure_at(self, position: int) -> Figure | None:
        """The innermost figure around a position."""
        place = bisect_right(self.figures, position, key=attrgetter("start"))
        near = self.figures[max(place - FIGURE_REACH, 0) : place]
        return next((figure for figure in reversed(near) if position < figure.end), None)

    def _read(self, links: bool) -> None:
        body, text, link = self.body, 0, -1
        find = body.find
        for start, kind, near_link in places(body, links=links):
            if start < text:
                continue
            # Those before `text` are known, or in no text.
            if near_link >= text or ~near_link >= text:
                link = near_link
            if SOURCE >= kind >= FIGURE:
                self._enter(kind, start)
                continue
            if kind == META and not self._is_wanted(start):
                continue
            if start > text and find(b"<", text, start) >= 0:
                text = text_from(body, text, start)
                if text != start:
                    continue
            if kind == IMAGE:
                text = self._read_image(start, link)
            else:
                link = start if kind == LINK else link
                text = self._read_tag(kind, start)
            if text < 0:
                break
        self._enter(FIGURE, len(body))

    def _read_image(self, start: int, link: int) -> int:
        body = self.body
        figure = self._around[-1] if self._around else None
        found = PLAIN_IMAGE.match(body, start)
        if found:
            end = found.end()
            values = found.groups()
            if not (figure or values[ALT] or values[TITLE]):
                # There is nothing to say of it.
                tag = NO_ATTRIBUTES
            else:
                # What is empty is as good as not there.
                names = compress(PLAIN_NAMES, values)
                tag: Attributes = dict(zip(names, filter(None, values), strict=True))
        else:
            if body[start : start + 5].lower() not in IMAGE_STARTS:
                return start
            end = tag_end(body, start)
            tag = attributes(body, start, end)
        if end >= 0 and not self._template_depth:
            image = (start, tag, link, self._sources or (), figure)
            self.images.append(tuple.__new__(ImageTag, image))
        return end

    def _read_tag(self, kind: int, start: int) -> int:
        """Where the text goes on; -1 at the end of the page, `start` if this is no such tag."""
        body = self.body
        found = NAME.match(body, start + 1)
        name = found[0].lower() if found else b""
        if KINDS.get(name) != kind:
            return start
        if kind == COMMENT:
            end = comment_end(body, start)
            self._hidden.append((start, end))
            return end
        end = tag_end(body, start)
        if kind == RAW_TEXT and end >= 0:
            return self._read_raw_text(name, start, end)
        if kind == TEMPLATE:
            self._template_depth += -1 if name[0] == ord("/") else 1
            self._template_depth = max(self._template_depth, 0)
        elif end >= 0 and not self._template_depth:
            self._keep(kind, start, end)
        return end

    def _keep(self, kind: int, start: int, end: int) -> None:
        if kind == META:
            self.metas.append((start, end))
        elif kind == LINK:
            self.links.append((start, end))
        elif kind == DOCUMENT:
            self.document = self.document or (start, end)
        elif self.base is None and b"href" in self.body[start:end].lower():
            self.base = (start, end)

    def _read_raw_text(self, name: bytes, start: int, end: int) -> int:
        text_end = raw_text_end(self.body, start, end, name)
        self._hidden.append((end, text_end))
        if name == b"script":
            self.scripts.append(((start, end), (end, text_end)))
        elif name == b"title":
            self.title = self.title or (end, text_end)
        return text_end

    def _enter(self, kind: int, start: int) -> None:
        """Note the beginning or end of what an image may stand in."""
        if kind == SOURCE:
            if self._sources is not None:
                self._sources.append(start)
            return
        if kind == PICTURE:
            self._sources = None if self.body[start + 1] == ord("/") else []
            return
        if self._caption:
            figure, caption_start = self._caption
            figure.caption = (caption_start, start)
            self._caption = None
        name = self.body[start + 1 : start + 6].lower()
        if name == b"figur":
            figure = Figure(start, len(self.body))
            self._around.append(figure)
            self.figures.append(figure)
        elif not self._around:
            return
        elif name == b"/figu":
            self._around.pop().end = start
        elif name == b"figca" and not self._around[-1].caption:
            end = tag_end(self.body, start)
            self._caption = (self._around[-1], end) if end >= 0 else None

    def _is_wanted(self, start: int) -> bool:
        end = self.body.find(b">", start, start + MAX_META_BYTES)
        tag = self.body[start : end if end >= 0 else start + MAX_META_BYTES].lower()
        for word in self._metas:  # noqa: SIM110  # twice as fast as any()
            if word in tag:
                return True
        return False
