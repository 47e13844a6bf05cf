import gzip
import zlib
from io import BytesIO

import brotli
import pytest
from tests.data.candidates.warc_files import PAGE, packed, record, response

from diagonal_data.candidates.found import Found, ReadCounts
from diagonal_data.candidates.warc import read_warc


def read(*records: bytes) -> tuple[list[Found], ReadCounts]:
    counts = ReadCounts()
    pages = read_warc(BytesIO(packed(*records)), counts, agent="diagonal")
    return [found for page in pages for found in page], counts


def chunked(page: bytes) -> bytes:
    return (
        b"5\r\n"
        + page[:5]
        + b"\r\n"
        + f"{len(page) - 5:x};x=y\r\n".encode()
        + page[5:]
        + b"\r\n0\r\n\r\n"
    )


def test_images_of_the_pages_of_a_crawl() -> None:
    found, counts = read(
        record("warcinfo", b"software: x\r\n"),
        record("request", b"GET / HTTP/1.1\r\n\r\n"),
        response(PAGE),
        record("metadata", b"fetchTimeMs: 1\r\n"),
        response(b"<p>no image</p>", url="/b"),
    )
    assert [(each.url, each.texts, each.page_url) for each in found] == [
        ("http://x.test/a.jpg", ("fox",), "http://x.test/")
    ]
    assert (counts.pages, counts.images) == ({"read": 2}, {"found": 1})


@pytest.mark.parametrize(
    ("made", "outcome"),
    [
        (response(PAGE, status="404 Not Found"), "http_error"),
        (response(PAGE, status="301 Moved"), "http_error"),
        (response(PAGE, kind="image/png"), "not_html"),
        (response(b"\x89PNG\r\n" + PAGE), "not_html"),
        (response(PAGE, "X-Robots-Tag: noai"), "opted_out"),
        (response(PAGE, "x-robots-tag: max-snippet:5", "x-robots-tag: noimageai"), "opted_out"),
        (response(PAGE, "X-Robots-Tag: diagonal: noindex"), "opted_out"),
        (response(PAGE, "tdm-reservation: 1"), "opted_out"),
        (response(b"<meta name=robots content=noai>" + PAGE), "opted_out"),
        (response(b"\x0b\x02\x80", "Content-Encoding: br"), "bad_record"),
        (record("response", b"no http"), "bad_record"),
        (record("response", b"1.2.3.4", "dns:x.test"), "not_html"),
    ],
)
def test_responses_that_give_nothing_are_counted(made: bytes, outcome: str) -> None:
    found, counts = read(made, response(PAGE))
    assert len(found) == 1
    assert counts.pages == {outcome: 1, "read": 1}


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (chunked(PAGE), ["Transfer-Encoding: chunked"]),
        (PAGE, ["Transfer-Encoding: chunked"]),
        (gzip.compress(PAGE, mtime=0), ["Content-Encoding: gzip"]),
        (PAGE, ["Content-Encoding: gzip"]),
        (PAGE, ["Content-Encoding: br"]),
        (brotli.compress(PAGE), ["Content-Encoding: br"]),
        (zlib.compress(PAGE), ["Content-Encoding: deflate"]),
        (zlib.compress(PAGE)[2:-4], ["Content-Encoding: deflate"]),
        (
            chunked(gzip.compress(PAGE, mtime=0)),
            ["Transfer-Encoding: chunked", "Content-Encoding: gzip"],
        ),
        (gzip.compress(PAGE, mtime=0)[:-8], ["Content-Encoding: gzip"]),
    ],
)
def test_encodings_of_the_content_are_undone(body: bytes, headers: list[str]) -> None:
    found, _ = read(response(body, *headers))
    assert [each.texts for each in found] == [("fox",)]


def test_a_packed_bomb_gives_its_beginning() -> None:
    bomb = gzip.compress(PAGE + b" " * 2**24)
    found, counts = read(response(bomb, "Content-Encoding: gzip"))
    assert (len(found), counts.pages) == (1, {"read": 1})


def test_the_charset_of_the_header_is_heard() -> None:
    page = "<img src=a alt=grün>".encode("cp1252")
    found, _ = read(response(page, kind='Text/HTML; Charset="ISO-8859-1"'))
    assert found[0].texts == ("grün",)


def test_a_truncated_file_gives_what_is_before() -> None:
    file = packed(response(PAGE), response(PAGE, url="/b"))[:-12]
    counts = ReadCounts()
    assert len(list(read_warc(BytesIO(file), counts))) == 1
    assert counts.pages == {"read": 1, "truncated": 1}
