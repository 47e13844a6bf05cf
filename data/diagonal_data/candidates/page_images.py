"""The address of an image, of all that a page gives, and the texts that stand with it.

The address is the first of these that is one of the web:

    a href             of a link around the image, where it names an image file: the full size
    srcset             the largest of data-srcset, srcset and the sources of a `<picture>`
    data-src, …        where scripts keep the address of a picture that is loaded late (LATE)
    src

The texts are all that are not empty, each once: alt, figcaption of the nearest figure, title,
aria-label.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from diagonal_data.candidates.found import ImageOutcome
from diagonal_data.candidates.page_attributes import Attributes, attributes, value_of
from diagonal_data.candidates.page_markup import tag_end
from diagonal_data.candidates.page_scan import ImageTag
from diagonal_data.candidates.page_urls import BLANKS, BaseUrl

TEXTS = ("alt", "figcaption", "title", "aria-label")
ALT_ONLY = ("alt",)
NOTHING = ((), ())
LATE = (
    *(b"data-src", b"data-original", b"data-lazy-src", b"data-lazy", b"data-hi-res-src"),
    *(b"data-orig-file", b"data-large-file", b"data-full-url", b"data-img-src", b"data-echo"),
)
LATE_NAMES = frozenset(LATE)
IN_ORDER = (b"data-srcset", b"data-lazy-srcset", b"srcset")
SOURCE_SETS = frozenset(IN_ORDER)
IMAGE_ENDINGS = frozenset(
    {"jpg", "jpeg", "jfif", "png", "gif", "webp", "avif", "bmp", "tif", "tiff"}
)
SOURCE_SET = re.compile(
    r"""([^\s,](?:\S*[^\s,])?) (?: \s+ ([0-9]{1,9}(?:\.[0-9]{1,9})?) [wx] (?![^\s,]) )?
    [^,]*+ (?:,|\Z)""",
    re.ASCII | re.VERBOSE,
)


def why_no_url(choices: Sequence[str]) -> ImageOutcome:
    """Why none of the addresses is that of an image."""
    given = [stripped for choice in choices if (stripped := choice.strip(BLANKS).lower())]
    if any(choice.startswith("data:") for choice in given):
        return ImageOutcome.DATA_URL
    return ImageOutcome.BAD_URL if given else ImageOutcome.NO_URL


def image_texts(tag: Attributes, figcaption: str | None) -> tuple[Sequence[str], Sequence[str]]:
    """All texts of an image, and where each stood."""
    alt = value_of(tag.get(b"alt"))
    if not (figcaption or b"title" in tag or b"aria-label" in tag):
        return ((alt,), ALT_ONLY) if alt and not alt.isspace() else NOTHING
    title, label = value_of(tag.get(b"title")), value_of(tag.get(b"aria-label"))
    texts: list[str] = []
    sources: list[str] = []
    for source, text in zip(TEXTS, (alt, figcaption, title, label), strict=True):
        if text and not text.isspace() and text not in texts:
            texts.append(text)
            sources.append(source)
    return texts, sources


def image_url(
    body: bytes, image: ImageTag, tag: Attributes, base: BaseUrl
) -> tuple[str | ImageOutcome, bool]:
    """The absolute URL or why there is none, and whether it is that of a link around the image."""
    if image.link >= 0:
        url = _full_size(body, image.link, base)
        if url:
            return url, True
    sets = [] if SOURCE_SETS.isdisjoint(tag) else _source_sets(tag)
    for start in image.picture_sources:
        end = tag_end(body, start)
        sets += _source_sets(attributes(body, start, end)) if end >= 0 else ()
    if sets:
        largest = largest_in_srcsets(sets)
        url = base.join(largest) if largest else None
        if url:
            return url, False
    late = [] if LATE_NAMES.isdisjoint(tag) else [value_of(tag[n]) for n in LATE if n in tag]
    for address in (*late, value_of(tag.get(b"src"))):
        url = base.join(address)
        if url:
            return url, False
    return why_no_url([*sets, *late, value_of(tag.get(b"src"))]), False


def _source_sets(tag: Attributes) -> list[str]:
    return [value_of(tag[name]) for name in IN_ORDER if name in tag]


def largest_in_srcsets(srcsets: Sequence[str]) -> str | None:
    """The URL with the largest `w` or `x` descriptor; the first of equals; 1x where none stands.

    Placeholders (`data:`) are passed over.
    """
    best, largest = None, 0.0
    for srcset in srcsets:
        urls, sizes = _entries(srcset)
        if len(srcsets) == 1 and "data:" not in srcset and sizes and (most := max(sizes)) > 0:
            return urls[sizes.index(most)]
        for url, size in zip(urls, sizes, strict=True):
            if size > largest and not url.startswith("data:"):
                best, largest = url, size
    return best


def _entries(srcset: str) -> tuple[Sequence[str], list[float]]:
    """The addresses and their sizes."""
    words = srcset.split()
    urls, sizes = words[::2], words[1::2]
    # `a.jpg 1x, b.jpg 2x`, and nothing that needs a closer look.
    if len(urls) == len(sizes) and ",\n" not in "\n".join([*urls, ""]):
        try:
            return urls, list(map(_size, sizes))
        except ValueError:
            pass
    found = SOURCE_SET.findall(srcset)
    return [url for url, _ in found], [float(size) if size else 1.0 for _, size in found]


@lru_cache(1_024)
def _size(descriptor: str) -> float:
    return float(descriptor.rstrip(",")[:-1])


def _full_size(body: bytes, link: int, base: BaseUrl) -> str | None:
    """The address of the link around an image, if it is that of a picture."""
    end = tag_end(body, link)
    href = value_of(attributes(body, link, end).get(b"href")) if end >= 0 else ""
    path = href.partition("#")[0].partition("?")[0]
    name, _, ending = path[path.rfind("/") + 1 :].strip(BLANKS).rpartition(".")
    # A colon: `/wiki/File:Fox.jpg` is a page about a picture.
    is_image = name and ":" not in name and ending.lower() in IMAGE_ENDINGS
    return base.join(href) if is_image else None
