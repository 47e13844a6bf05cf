import json
from io import BytesIO
from typing import Any

import pytest
from tests.data.candidates.warc_files import packed, record, wat_record

from diagonal_data.candidates.found import Found, ReadCounts
from diagonal_data.candidates.wat import read_wat

IMAGE = {"path": "IMG@/src", "url": "/a.jpg", "alt": "fox"}


def read(*records: bytes) -> tuple[list[Found], ReadCounts]:
    counts = ReadCounts()
    pages = read_wat(BytesIO(packed(*records)), counts, agent="diagonal")
    return [found for page in pages for found in page], counts


def html(*links: dict[str, str], **head: Any) -> dict[str, Any]:
    return {"Head": head, "Links": list(links)}


def test_images_of_the_pages_of_a_crawl() -> None:
    found, counts = read(
        record("warcinfo", b"software: x\r\n"),
        record("metadata", b'{"Envelope": {"Payload-Metadata": {"HTTP-Request-Metadata": {}}}}'),
        wat_record(
            html(
                IMAGE,
                {"path": "A@/href", "url": "/b.jpg", "text": "no"},
                {"path": "IMG@/src", "url": "c.jpg", "alt": "Tom &amp; co"},
            ),
            url="http://x.test/d/e",
        ),
    )
    assert [(each.url, list(each.texts), list(each.sources)) for each in found] == [
        ("http://x.test/a.jpg", ["fox"], ["alt"]),
        ("http://x.test/d/c.jpg", ["Tom & co"], ["alt"]),
    ]
    assert {each.page_url for each in found} == {"http://x.test/d/e"}
    assert (counts.pages, counts.images) == ({"read": 1}, {"found": 2})


def raw_record(links: str) -> bytes:
    """A record whose links are spelled like this."""
    content = wat_record(html(IMAGE)).partition(b"\r\n\r\n")[2][: -len(b"\r\n\r\n")]
    return record("metadata", content.replace(json.dumps([IMAGE]).encode(), links.encode()))


@pytest.mark.parametrize(
    "spelled",
    [
        '{"path":"IMG@/src","url":"/a.jpg","alt":"fox"}',
        '{"path": "IMG@/src", "alt": "fox", "url": "/a.jpg"}',
        '{"path":"IMG@/src","title":"a \\"b\\"}","url":"/a.jpg","alt":"fox"}',
        '{"path":"IMG@/src","title":"x","alt":"fox","url":"/a.jpg"}',
        '{"path":"IMG@/src","url":"\\/a.jpg","alt":"f\\u006fx"}',
        '{"path":"IMG@\\/src","url":"/a.jpg","alt":"fox"}',
        '{"url":"/a.jpg","alt":"fox","path":"IMG@/src"}',
        '{ "path" : "IMG@/src" , "url" : "/a.jpg" , "alt" : "fox" }',
        '{"path":"IMG@/src","url":"/a.jpg","alt":"fox","width":5}',
        '{"path":"IMG@/src","url":"/b.jpg","alt":"no","url":"/a.jpg","alt":"fox"}',
        '{"path":"A@/href","url":"IMG@/src","text":"x"},{"path":"IMG@/src","url":"/a.jpg","alt":"fox"}',
        '{"path":"A@/href","text":"{\\"path\\":\\"IMG@/src\\",\\"alt\\":\\"no\\"}"},'
        '{"path":"IMG@/src","url":"/a.jpg","alt":"fox"}',
        '{"path":"IMG@/usemap","url":"/no.jpg","alt":"no"},'
        '{"path":"IMG@/src","url":"/a.jpg","alt":"fox"}',
    ],
)
def test_an_image_is_found_however_its_link_is_spelled(spelled: str) -> None:
    found, counts = read(raw_record(f"[{spelled}]"))
    assert [(each.url, each.texts) for each in found] == [("http://x.test/a.jpg", ("fox",))]
    assert counts.images == {"found": 1}


@pytest.mark.parametrize(
    "links", ["null", "5", "{}", '[{"path":"IMG@/src","alt":5}]', '[{"path":"IMG@/src","alt":"x"]']
)
def test_links_that_are_none_make_a_broken_record(links: str) -> None:
    found, counts = read(raw_record(links))
    assert (found, counts.pages, counts.images) == ([], {"bad_record": 1}, {})


@pytest.mark.parametrize(
    ("link", "outcome"),
    [
        ({"url": "a.jpg"}, "no_text"),
        ({"url": "a.jpg", "alt": " \n"}, "no_text"),
        ({"alt": "x"}, "no_url"),
        ({"url": "data:image/gif,x", "alt": "x"}, "data_url"),
        ({"url": "javascript:x", "alt": "x"}, "bad_url"),
    ],
)
def test_images_that_give_no_row_are_counted(link: dict[str, str], outcome: str) -> None:
    found, counts = read(wat_record(html({"path": "IMG@/src", **link})))
    assert (found, counts.images) == ([], {outcome: 1})


@pytest.mark.parametrize(
    ("made", "outcome"),
    [
        (wat_record(html(IMAGE), status="404"), "http_error"),
        (wat_record(None), "not_html"),
        (wat_record(html(IMAGE), url=""), "bad_record"),
        (wat_record(html(IMAGE), headers={"X-Robots-Tag": "noai"}), "opted_out"),
        (wat_record(html(IMAGE), headers={"x-robots-tag": "diagonal: noai"}), "opted_out"),
        (
            wat_record(html(IMAGE, Metas=[{"name": "ROBOTS", "content": "noimageai"}])),
            "opted_out",
        ),
        (wat_record(html(IMAGE))[:-9] + b"\r\n\r\n", "bad_record"),
        (record("metadata", b'{"HTTP-Response-Metadata": ' + b"[" * 99_999), "bad_record"),
        (record("metadata", b'{"Envelope": 5, "HTTP-Response-Metadata": {}}'), "bad_record"),
        (record("metadata", b'{"HTTP-Response-Metadata": {}, "Envelope": "\xff"}'), "bad_record"),
    ],
)
def test_records_that_give_nothing_are_counted(made: bytes, outcome: str) -> None:
    found, counts = read(made, wat_record(html(IMAGE)))
    assert len(found) == 1
    assert counts.pages == {outcome: 1, "read": 1}


def test_the_head_gives_base_licence_and_open_graph_image() -> None:
    found, _ = read(
        wat_record(
            html(
                IMAGE,
                Base="http://y.test/",
                Metas=[
                    {"property": "og:image", "content": "/og.jpg"},
                    {"property": "og:image:alt", "content": "A fox"},
                ],
                Link=[{"path": "LINK@/href", "url": "/by", "rel": "license"}],
            )
        )
    )
    assert [(each.url, list(each.texts), each.licence) for each in found] == [
        ("http://y.test/a.jpg", ["fox"], "http://y.test/by"),
        ("http://y.test/og.jpg", ["A fox"], "http://y.test/by"),
    ]


def test_every_page_is_read_once_for_any_cut() -> None:
    file = packed(*(wat_record(html(IMAGE), url=f"http://x.test/{n}/") for n in range(4)))
    for cut in range(len(file) + 1):
        pages = []
        for start, end in ((0, cut), (cut, None)):
            for found in read_wat(BytesIO(file), ReadCounts(), start=start, end=end):
                pages += [each.page_url for each in found]
        assert pages == [f"http://x.test/{n}/" for n in range(4)]
