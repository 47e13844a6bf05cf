"""Pages in other encodings, broken pages and hostile ones."""

import time

import pytest

from diagonal_data.candidates.found import Found, PageOutcome
from diagonal_data.candidates.page import MAX_PAGE_BYTES, Page, read_page

URL = "http://x.test/a/page.html"


def read(html: str) -> Page:
    return read_page(html.encode(), URL)


def image(html: str) -> Found:
    (found,) = read(html).found
    return found


@pytest.mark.parametrize(
    ("body", "charset"),
    [
        ("<img src=a alt=grün>".encode(), None),
        ("<img src=a alt=grün>".encode("latin-1"), "ISO-8859-1"),
        ("<img src=a alt=grün>".encode("latin-1"), None),
        ("<meta charset=windows-1252><img src=a alt=grün>".encode("cp1252"), None),
        ("<meta charset=utf-16><img src=a alt=grün>".encode(), None),
        ("<img src=a alt=grün>".encode("utf-16"), None),
        ("<img src=a alt=grün>".encode("utf-16-le"), None),
        ("<img src=a alt=grün>".encode("utf-16-be"), "utf-16be"),
        ("<img src=a alt=grün>".encode("utf-8-sig"), "latin-1"),
        ("<img src=a alt=grün>".encode(), "idna"),
        ("<img src=a alt=grün>".encode(), "no\x00such"),
    ],
)
def test_encodings(body: bytes, charset: str | None) -> None:
    assert read_page(body, URL, charset=charset).found[0].texts == ("grün",)


@pytest.mark.parametrize("label", ["Shift_JIS", "x-sjis", "windows-31j"])
def test_shift_jis_is_what_windows_makes_of_it(label: str) -> None:
    body = f'<meta charset="{label}"><img src=a alt="①東京">'.encode("cp932")
    assert read_page(body, URL).found[0].texts == ("①東京",)


@pytest.mark.parametrize(
    "body",
    [
        b"\x89PNG\r\n\x1a\n<img src=a alt=x>",
        b"%PDF-1.7 <img src=a alt=x>",
        b"PK\x03\x04<img src=a alt=x>",
        bytes(range(256)) * 8 + b"<img src=a alt=x>",
    ],
)
def test_binary_that_poses_as_html_is_no_page(body: bytes) -> None:
    page = read_page(body, URL)
    assert page.outcome == PageOutcome.NOT_HTML
    assert page.found == []


def test_a_stray_nul_does_not_end_a_page() -> None:
    assert len(read("<p>a\0b</p>" + "words " * 20 + "<img src=a alt=x>").found) == 1


@pytest.mark.parametrize("body", [b"", b"\x00\xff\xfe", b"<", b"<img", b"<a href='http://['>x</a>"])
def test_garbage_is_an_empty_page(body: bytes) -> None:
    page = read_page(body, URL)
    assert (page.found, page.links) == ([], [])


HOSTILE_BYTES = MAX_PAGE_BYTES // 4
HOSTILE = {
    "deep": "<div>",
    "deep figures": "<figure><figcaption>",
    "attributes": "a='b' ",
    "bare attributes": "<b a ",
    "tags in tags": "<img alt='<img ",
    "open images": "<img ",
    "open quotes": '<img alt="',
    "images": "<img src=a alt=x>",
    "comments": "<!-- ",
    "empty comments": "<!---->",
    "open comments": "<!--<!--->",
    "scripts": "<script>",
    "nested scripts": "<script><!--<script>",
    "closed scripts": "<script></script>",
    "titles": "<title/>",
    "svg titles": "<svg><title/>",
    "templates": "<template>",
    "links": "<a href=a.jpg><img src=b alt=x>",
    "open links": "<a href=a.jpg ",
    "licences": "<a rel=license href=b",
    "licence words": "license ",
    "licences in figures": "<figure><a rel=license href=b></a></figure>" + "<figure></figure>" * 20,
    "pictures": "<picture><source srcset='a 1x'>",
    "sources": "<picture>" + "<source srcset='a 1x'>" * 9 + "<img alt=x>" * 9,
    "entities": "<img src=a alt='&amp;&amp;&lt;'>",
    "entity bomb": "<!ENTITY a '&b;&b;'>",
    "less than": "a < b ",
    "close": "</",
    "greater than": "<b>'\"=>",
    "metas": "<meta name=robots content=",
    "nul": "<\0i\0m\0g\0 ",
    "srcset": "<img alt=x srcset='" + "a," * 99 + "'>",
    "bogus comments": "<?php <! ",
    "declared": "<meta charset",
    "figcaption tags": "<figure><figcaption><script><br <b a=' <!--",
}


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_page_takes_linear_time(piece: str) -> None:
    page = (piece * (HOSTILE_BYTES // len(piece) + 1)).encode()
    start = time.process_time()
    read_page(page[: HOSTILE_BYTES // 8], URL)
    small = time.process_time() - start
    start = time.process_time()
    read_page(page[:HOSTILE_BYTES], URL)
    assert time.process_time() - start < max(24 * small, 0.5)


def test_of_a_huge_page_the_beginning_is_read() -> None:
    page = b"<img src=a alt=x>" + b" " * MAX_PAGE_BYTES + b"<img src=b alt=y>"
    assert [found.texts for found in read_page(page, URL).found] == [("x",)]


def test_long_texts_are_kept_whole() -> None:
    assert len(image(f'<img src=a alt="{"word " * 200_000}">').texts[0]) == 1_000_000


def test_a_long_flat_page_is_read() -> None:
    assert len(read("<div><p>a<img src=a alt=x></div>" * 5_000).found) == 5_000
