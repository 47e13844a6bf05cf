import re
from itertools import product
from urllib.parse import urljoin, urlsplit

import pytest

from diagonal_data.candidates.page_urls import BLANKS, BaseUrl

BASES = [
    *("http://x.test", "http://x.test/", "https://x.test/a/b?q=/c/d#e", "http://x.test:8080/a/"),
    *("http://x.test//a//b", "http://x.test/a/../b/c", "http://u:p@x.test/a", "HTTP://X.test/a/b"),
    *("http://x.test/a;p/b;q", "http://x.test?q", "http://[::1]/a/", "http://ü.test/a/b", "about:"),
]
ADDRESSES = [
    *("a.jpg", "a/b.jpg", "./a.jpg", "../a.jpg", "a/../b.jpg", "a//b.jpg", "/a.jpg", "/../a.jpg"),
    *("/a/./b", "/a//b", "//y.test/a.jpg", "//y.test", "///a", "////a/b", "?q=1", "#f", "", " "),
    *("http://y.test/a.jpg", "https://Y.test/A.JPG?x=1#f", "http://y.test", "http:///a", "http:a"),
    *("HTTP://y.test/a", "http://y.test/a?", "http://y.test/a#", "http://y.test/a;", "a;b?c;d"),
    *(
        "http://y.test:80/a",
        "http://y.test:bad/a",
        "http://u@y.test/a",
        "http://[::1]/a",
        "http://[",
    ),
    *("data:image/gif,x", "javascript:void(0)", "mailto:a@b", "ftp://y.test/a", "a:b", "a/b:c"),
    *(
        "a b.jpg",
        "a\tb.jpg",
        "a\nb.jpg",
        " a.jpg ",
        "\x01a.jpg",
        "ä.jpg",
        "/ü/ö?ß",
        "a.jpg?u=http://z",
    ),
    *(
        "a?b=../c",
        "/a?b=/./c",
        ".hidden",
        "a/.hidden",
        "...",
        "a.",
        "a/.",
        "a/..",
        "/",
        "//",
        "\\a",
    ),
    *(
        "http://y.test\\a",
        "http://y.test/a b",
        "http://ｙ.test/a",
        "http://y.test／a",
        "%41?%",
        "~a",
    ),
]


EMPTY_SEGMENT = re.compile("(?<=[^:/])/(?=/)")


def joined(base: str, address: str) -> str | None:
    """By urljoin, which keeps empty segments if they are not empty."""
    base, address = (EMPTY_SEGMENT.sub("/-empty-", url) for url in (base, address.strip(BLANKS)))
    try:
        url = urljoin(base, address).replace("-empty-", "") if address else ""
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and parts.netloc else None


@pytest.mark.parametrize(("base", "address"), list(product(BASES, ADDRESSES)))
def test_joined_urls_are_those_of_urljoin(base: str, address: str) -> None:
    assert BaseUrl(base).join(address) == joined(base, address)


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("img//a.png", "http://x.test/b/img//a.png"),
        ("img//../a.png", "http://x.test/b/img/a.png"),
        ("../img//", "http://x.test/img//"),
    ],
)
def test_empty_segments_are_kept_as_browsers_keep_them(address: str, url: str) -> None:
    assert BaseUrl("http://x.test/b/c").join(address) == url
