"""Where tags may begin that matter for images, of which kind, and the link around them.

One pass of numpy over all `<` picks them by the three bytes that follow. Links are the most of them
and matter to images alone, so that nobody walks through them: their places are looked up.
"""

from collections.abc import Iterable

import numpy as np

from diagonal_data.candidates.page_markup import RAW_TEXT_NAMES

# Kinds of tags. Around an image, their order alone counts; from IMAGE on they are checked one by
# one, and so is LINK where links are asked for. LINK and its end are the only ones that are many.
LINK_END, LINK, FIGURE, PICTURE, SOURCE, IMAGE, META = range(1, 8)
BASE, DOCUMENT, RAW_TEXT, TEMPLATE, COMMENT = range(8, 13)
NAMES = {
    LINK_END: (b"/a",),
    FIGURE: (b"figure", b"figcaption", b"/figure", b"/figcaption"),
    PICTURE: (b"picture", b"/picture"),
    SOURCE: (b"source",),
    LINK: (b"a",),
    IMAGE: (b"img",),
    META: (b"meta",),
    BASE: (b"base",),
    DOCUMENT: (b"html",),
    RAW_TEXT: RAW_TEXT_NAMES,
    TEMPLATE: (b"template", b"/template"),
    COMMENT: (b"!--",),
}
KINDS = {name: kind for kind, names in NAMES.items() for name in names}
AFTER_NAME = b" \t\n\r\f/>"


def _kinds_by_code() -> np.ndarray:
    """The kind for the low five bits of each of the three bytes after a `<`.

    Upper and lower case agree in them. What else does is told apart by the whole name later.
    """
    kinds = np.zeros(1 << 15, np.uint8)
    for name, kind in KINDS.items():
        starts = [name[:3]] if len(name) > 2 else [name + bytes([after]) for after in AFTER_NAME]
        for first, second, third in (start.ljust(3, b"\0") for start in starts):
            code = (first & 31) << 10 | (second & 31) << 5
            # After `<a ` any third byte will do.
            thirds = range(32) if len(name) == 1 else [third & 31]
            kinds[[code | last for last in thirds]] = kind
    return kinds


KINDS_BY_CODE = _kinds_by_code()
NO_LINK = -1


def places(body: bytes, *, links: bool) -> Iterable[tuple[int, int, int]]:
    """Where tags may begin, their kinds, and for each the last `<a` before or ~ of the last `</a`.

    Args:
        body: of the page.
        links: whether `<a` is among the tags, and not among those before; `</a` never is.
    """
    content = np.frombuffer(body, np.uint8)
    # Three bytes follow in every tag that is whole.
    at = (content[:-3] == ord("<")).nonzero()[0]
    codes = (content[1:].take(at) & 31).astype(np.uint16) << 5
    codes |= content[2:].take(at) & 31
    codes <<= 5
    codes |= content[3:].take(at) & 31
    kinds = KINDS_BY_CODE.take(codes)
    chosen = kinds.nonzero()[0]
    at, kinds = at.take(chosen), kinds.take(chosen)
    # A link that is among the tags is its own news.
    first = LINK if links else FIGURE
    link_at, wanted = (kinds < first).nonzero()[0], (kinds >= first).nonzero()[0]
    before = link_at.searchsorted(wanted)
    # Behind the last one there is none, as before the first.
    nearest = np.full(len(link_at) + 1, NO_LINK)
    at.take(link_at, out=nearest[:-1])
    np.invert(nearest[:-1], out=nearest[:-1], where=kinds.take(link_at) == LINK_END)
    nearest = nearest.take(before - 1)
    places = (at.take(wanted), kinds.take(wanted), nearest)
    return zip(*(column.tolist() for column in places), strict=True)
