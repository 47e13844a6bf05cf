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

from diagonal_data.candidates.found import ImageOutcome
from diagonal_data.candidates.page_attributes import Attributes, attributes, value_of
from diagonal_data.candidates.page_markup import tag_end
from diagonal_data.candidates.page_scan import ImageTag
from diagonal_data.candidates.page_urls import BLANKS, BaseUrl

LATE = (
    *(b"data-src", b"data-original", b"data-lazy-src", b"data-lazy", b"data-hi-res-src"),
    *(b"data-orig-file", b"data-large-file", b"data-full-url", b"data-img-src", b"data-echo"),
)
SOURCE_SETS = (b"data-srcset", b"data-lazy-srcset", b"srcset")
# A colon in the last part: `/wiki/File:Fox.jpg` is a page about a picture.
IMAGE_FILE = re.compile(
    r"(?:[^?#]*/)?[^/?#:]+\.(?:jpe?g|jfif|png|gif|webp|avif|bmp|tiff?)(?:[?#].*)?",
    re.IGNORECASE | re.DOTALL,
)
SOURCE_SET = re.compile(
    r"""([^\s,](?:\S*[^\s,])?) (?: \s+ ([0-9]{1,9}(?:\.[0-9]{1,9})?) [wx] (?![^\s,]) )?
    [^,]*+ (?:,|\Z)""",
    re.ASCII | re.VERBOSE,
)


def largest_in_srcset(srcset: str) -> str | None:
    """The URL with the largest `w` or `x` descriptor; the first of equals; 1x where none stands.

    Placeholders (`data:`) are passed over.
    """
    return _largest([srcset])


def why_no_url(choices: Sequence[str]) -> ImageOutcome:
    """Why none of the addresses is that of an image."""
    given = [stripped for choice in choices if (stripped := choice.strip(BLANKS).lower())]
    if any(choice.startswith("data:") for choice in given):
        return ImageOutcome.DATA_URL
    return ImageOutcome.BAD_URL if given else ImageOutcome.NO_URL


def image_texts(tag: Attributes, figcaption: str | None) -> tuple[list[str], list[str]]:
    """All texts of an image, and where each stood."""
    alt, title, label = tag.get(b"alt"), tag.get(b"title"), tag.get(b"aria-label")
    texts: list[str] = []
    sources: list[str] = []
    text = value_of(alt)
    if text and not text.isspace():
        texts.append(text)
        sources.append("alt")
    if not (figcaption or title or label):
        return texts, sources
    others = (
        ("figcaption", figcaption),
        ("title", value_of(title)),
        ("aria-label", value_of(label)),
    )
    for source, text in others:
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
    sets = [value_of(raw) for name in SOURCE_SETS if (raw := tag.get(name))]
    for start in image.picture_sources:
        end = tag_end(body, start)
        source = attributes(body, start, end) if end >= 0 else {}
        sets += [value_of(raw) for name in SOURCE_SETS if (raw := source.get(name))]
    largest = _largest(sets) if sets else None
    if largest and (url := base.join(largest)):
        return url, False
    late = [value_of(raw) for name in LATE if (raw := tag.get(name))]
    for address in (*late, value_of(tag.get(b"src"))):
        url = base.join(address)
        if url:
            return url, False
    return why_no_url([*sets, *late, value_of(tag.get(b"src"))]), False


def _largest(srcsets: Sequence[str]) -> str | None:
    best, largest = None, 0.0
    for srcset in srcsets:
        for size, url in _entries(srcset):
            if size > largest and not url.startswith("data:"):
                best, largest = url, size
    return best


def _entries(srcset: str) -> list[tuple[float, str]]:
    """The addresses and their sizes."""
    words = srcset.split()
    urls, sizes = words[::2], words[1::2]
    # `a.jpg 1x, b.jpg 2x`, and nothing that needs a closer look.
    if len(urls) == len(sizes) and ",\n" not in "\n".join([*urls, ""]):
        try:
            return [(float(s.rstrip(",")[:-1]), u) for s, u in zip(sizes, urls, strict=True)]
        except ValueError:
            pass
    found = SOURCE_SET.findall(srcset)
    return [(float(size) if size else 1.0, url) for url, size in found]


def _full_size(body: bytes, link: int, base: BaseUrl) -> str | None:
    """The address of the link around an image, if it is that of a picture."""
    end = tag_end(body, link)
    href = value_of(attributes(body, link, end).get(b"href")) if end >= 0 else ""
    return base.join(href) if href and IMAGE_FILE.fullmatch(href.strip(BLANKS)) else None
