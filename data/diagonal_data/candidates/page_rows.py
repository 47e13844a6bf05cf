"""The rows of one page: its images, with what figures, metadata and licences add to them."""

from collections import Counter
from collections.abc import Sequence

from diagonal_data.candidates.found import Found, ImageOutcome
from diagonal_data.candidates.page_attributes import pixels
from diagonal_data.candidates.page_facts import StatedImage, read_linked_data
from diagonal_data.candidates.page_images import image_texts, image_url
from diagonal_data.candidates.page_licences import read_licences
from diagonal_data.candidates.page_scan import Figure, ImageTag, PageScan
from diagonal_data.candidates.page_text import visible_text
from diagonal_data.candidates.page_urls import BaseUrl


class PageRows:
    """The rows of one page, and what became of each of its images."""

    def __init__(self, page_url: str, lang: str | None) -> None:
        self.page_url = page_url
        self.lang = lang
        self.found: list[Found] = []
        self.lost: Counter[str] = Counter()
        """Images that gave no row, by `ImageOutcome`."""
        self.licence: str | None = None

    def counts(self) -> Counter[str]:
        """What became of the images."""
        found = {ImageOutcome.FOUND: len(self.found)} if self.found else {}
        return Counter({**found, **self.lost})

    def add(
        self,
        url: str,
        texts: Sequence[str],
        sources: Sequence[str],
        width: int | None = None,
        height: int | None = None,
        licence: str | None = None,
    ) -> None:
        """Add an image; it has the page's licence unless it has one of its own."""
        licence = licence or self.licence
        row = (url, texts, sources, self.page_url, self.lang, None, width, height, licence, None)
        # Past the checks of NamedTuple, which would take longer than all else here.
        self.found.append(tuple.__new__(Found, row))

    def add_page(self, scan: PageScan, base: BaseUrl, stated: Sequence[StatedImage]) -> None:
        """Add all of a page, in document order, and `stated` after it."""
        self.licence = read_licences(scan, base)
        captions: dict[Figure, str] = {}
        for image in scan.images:
            figure = image.figure
            if figure and figure.caption and figure not in captions:
                start, end = figure.caption
                captions[figure] = visible_text(scan.body[start:end].decode("utf-8", "replace"))
            self._add_image(scan.body, image, base, captions.get(figure) if figure else None)
        self.add_stated([*stated, *read_linked_data(scan)], base)

    def add_stated(self, stated: Sequence[StatedImage], base: BaseUrl) -> None:
        """Add images named in metadata; one that the page shows gets their text as another.

        Those without a text are no loss: most pages name their pictures so."""
        told = [image for image in stated if image.text and not image.text.isspace()]
        places = {row.url: place for place, row in enumerate(self.found)} if told else {}
        for image in told:
            url = base.join(image.address)
            if url in places:
                self.found[places[url]] = _with_text(self.found[places[url]], image)
            elif url is None:
                self.lost[ImageOutcome.BAD_URL] += 1
            else:
                places[url] = len(self.found)
                licence = base.join(image.licence) if image.licence else None
                row = (url, [image.text], [image.source], image.width, image.height)
                self.add(*row, licence)

    def _add_image(
        self, body: bytes, image: ImageTag, base: BaseUrl, figcaption: str | None
    ) -> None:
        tag = image.attributes
        texts, sources = image_texts(tag, figcaption)
        if not texts:
            self.lost[ImageOutcome.NO_TEXT] += 1
            return
        url, is_full_size = image_url(body, image, tag, base)
        if isinstance(url, ImageOutcome):
            self.lost[url] += 1
        else:
            licence = image.figure.licence if image.figure else None
            # Beside a link to the full size, the page states the size of the thumbnail.
            width = None if is_full_size else pixels(tag.get(b"width"))
            height = None if is_full_size else pixels(tag.get(b"height"))
            self.add(url, texts, sources, width, height, licence)


def _with_text(row: Found, image: StatedImage) -> Found:
    if image.text in row.texts:
        return row
    texts, sources = [*row.texts, image.text], [*row.sources, image.source]
    return row._replace(texts=texts, sources=sources)
