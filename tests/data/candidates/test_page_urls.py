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


@pytest.mark.parametrize(("base", "address"), list(product(BASES, ADDRESSES)))
def test_joined_urls_are_those_of_urljoin(base: str, address: str) -> None:
    try:
        expected = urljoin(base, address.strip(BLANKS)) if address.strip(BLANKS) else ""
        parts = urlsplit(expected)
    except ValueError:
        assert BaseUrl(base).join(address) is None
        return
    is_web = parts.scheme in ("http", "https") and bool(parts.netloc)
    assert BaseUrl(base).join(address) == (expected if is_web else None)
