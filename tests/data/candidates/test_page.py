import time

import pytest

from diagonal_data.candidates.page import (
    MAX_ATTRIBUTES,
    MAX_DEPTH,
    MAX_PAGE_BYTES,
    ImageText,
    Page,
    largest_in_srcset,
    read_page,
)

URL = "http://x.test/a/page.html"


def read(html: str, **known: str) -> Page:
    return read_page(html.encode(), URL, **known)


def pair(html: str) -> ImageText:
    (found,) = read(html).pairs
    return found


@pytest.mark.parametrize(
    ("attributes", "url"),
    [
        ('src="b.jpg"', "http://x.test/a/b.jpg"),
        ('src="/b.jpg"', "http://x.test/b.jpg"),
        ('src="//y.test/b.jpg"', "http://y.test/b.jpg"),
        ('src=" b.jpg\n"', "http://x.test/a/b.jpg"),
        ('src="data:image/gif;base64,AA" data-src="b.jpg"', "http://x.test/a/b.jpg"),
        ('src="grey.gif" data-original="b.jpg"', "http://x.test/a/b.jpg"),
        ('src="s.jpg" data-src="m.jpg" srcset="l.jpg 2x"', "http://x.test/a/l.jpg"),
        ('srcset="data:image/gif,x 1w" data-srcset="l.jpg 1w"', "http://x.test/a/l.jpg"),
        ('srcset="data:image/gif,x 1w" src="b.jpg"', "http://x.test/a/b.jpg"),
    ],
)
def test_the_image_url(attributes: str, url: str) -> None:
    assert pair(f"<img {attributes} alt=x>").url == url


@pytest.mark.parametrize(
    "attributes",
    ["", "src", 'src=""', 'src="data:image/gif,x"', 'src="ftp://x/a"', 'src="http://["'],
)
def test_an_image_without_an_http_url_is_no_pair(attributes: str) -> None:
    assert read(f"<img {attributes} alt=x>").pairs == []


@pytest.mark.parametrize(
    ("srcset", "largest"),
    [
        ("a.jpg", "a.jpg"),
        ("a.jpg 1x, b.jpg 2x", "b.jpg"),
        ("a.jpg 640w,b.jpg 320w", "a.jpg"),
        ("a.jpg, b.jpg 1.5x", "b.jpg"),
        ("w_1,h_2/a.jpg 1x, w_2,h_4/a.jpg 2x", "w_2,h_4/a.jpg"),
        ("a.jpg 1x, b.jpg 1x", "a.jpg"),
        ("a.jpg 640w 480h, b.jpg 320w", "a.jpg"),
        (", ,", None),
        ("", None),
        ("a.jpg nonsense", "a.jpg"),
    ],
)
def test_the_largest_of_a_srcset(srcset: str, largest: str | None) -> None:
    assert largest_in_srcset(srcset) == largest


@pytest.mark.parametrize(
    ("html", "source", "text"),
    [
        ('<img src=a alt="A &amp; B">', "alt", "A & B"),
        ("<figure><img src=a alt=x><figcaption>y</figcaption></figure>", "alt", "x"),
        (
            "<figure><a><img src=a alt=' '></a><figcaption>y</figcaption></figure>",
            "figcaption",
            "y",
        ),
        ("<figure><img src=a title=t><figcaption> </figcaption></figure>", "title", "t"),
        ("<img src=a alt='' title=t aria-label=l>", "title", "t"),
        ("<img src=a aria-label=l>", "aria-label", "l"),
        ("<img src=a>", None, ""),
        ("<figcaption>z</figcaption><img src=a>", None, ""),
    ],
)
def test_the_text_and_where_it_stood(html: str, source: str | None, text: str) -> None:
    found = pair(html)
    assert (found.source, found.text) == (source, text)


def test_a_figcaption_keeps_words_apart_and_formulas_together() -> None:
    html = "<figure><img src=a><figcaption>H<sub>2</sub>O<br>and <b>ice</b>.</figcaption></figure>"
    assert pair(html).text == "H2O and ice."


@pytest.mark.parametrize(
    ("declared", "pixels"),
    [("640", 640), (" 640px ", 640), ("100%", None), ("", None), ("12.5", None), ("٣", None)],
)
def test_size_hints(declared: str, pixels: int | None) -> None:
    found = pair(f'<img src=a width="{declared}" height="{declared}">')
    assert (found.width_hint, found.height_hint) == (pixels, pixels)


def test_relative_urls_start_from_the_base_of_the_page() -> None:
    page = read('<base href="/b/"><img src=c.jpg alt=x><a href=d>d</a>')
    assert page.pairs[0].url == "http://x.test/b/c.jpg"
    assert page.links == ["http://x.test/b/d"]


@pytest.mark.parametrize("directive", ["noai", "noimageai", "none", "noindex", "NOINDEX, follow"])
def test_a_page_that_opted_out_gives_no_pairs(directive: str) -> None:
    page = read(f'<meta name="Robots" content="{directive}"><img src=a alt=x>')
    assert page.opted_out
    assert page.pairs == []


def test_a_meta_tag_for_another_robot_is_not_for_us() -> None:
    html = '<meta name="diagonal" content="noai"><img src=a alt=x>'
    assert read(html, agent="diagonal").opted_out
    assert not read(html, agent="other").opted_out


def test_links_are_absolute_without_fragments_and_each_once() -> None:
    page = read(
        '<a href="b#top">1</a><a href="/a/b">2</a><a href="mailto:m@x.test">3</a>'
        '<a href="c" rel="noopener NoFollow">4</a><a href="https://y.test/?q=1">5</a><a href>6</a>'
    )
    assert page.links == ["http://x.test/a/b", "https://y.test/?q=1"]


@pytest.mark.parametrize("directive", ["nofollow", "none"])
def test_nofollow_for_the_page_leaves_no_links(directive: str) -> None:
    assert read(f'<meta name=robots content="{directive}"><a href=b>b</a>').links == []


def test_the_licence_of_a_figure_goes_before_that_of_the_page() -> None:
    page = read(
        '<figure><img src=a><a rel="license" href="/by">CC BY</a></figure><img src=b>'
        '<link rel="license" href="/zero">'
    )
    assert [p.licence for p in page.pairs] == ["http://x.test/by", "http://x.test/zero"]


def test_the_title_is_on_one_line() -> None:
    assert read("<title> Two\n words </title>").title == "Two words"
    assert read("<p>none</p>").title is None


@pytest.mark.parametrize(
    ("body", "charset"),
    [
        ("<img src=a alt=grün>".encode(), None),
        ("<img src=a alt=grün>".encode("latin-1"), "ISO-8859-1"),
        ("<meta charset=windows-1252><img src=a alt=grün>".encode("cp1252"), None),
        ("<meta charset=utf-16><img src=a alt=grün>".encode(), None),
        ("<img src=a alt=grün>".encode("utf-16"), None),
        ("<img src=a alt=grün>".encode("utf-8-sig"), "latin-1"),
        ("<img src=a alt=grün>".encode(), "idna"),
        ("<img src=a alt=grün>".encode(), "no\x00such"),
    ],
)
def test_encodings(body: bytes, charset: str | None) -> None:
    assert read_page(body, URL, charset=charset).pairs[0].text == "grün"


@pytest.mark.parametrize("body", [b"", b"\x00\xff\xfe", b"<", b"<img", b"<a href='http://['>x</a>"])
def test_garbage_is_an_empty_page(body: bytes) -> None:
    page = read_page(body, URL)
    assert (page.pairs, page.links) == ([], [])


@pytest.mark.parametrize("opening", ["<div>", "<DIV></x>", "<b></div><i>"])
def test_a_page_too_deep_to_parse_in_time_is_empty(opening: str) -> None:
    assert read(opening * (MAX_DEPTH + 1) + "<img src=a alt=x>").pairs == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_depth_is_seen_in_every_encoding(encoding: str) -> None:
    html = "<div>" * (MAX_DEPTH + 1) + "<img src=a alt=x>"
    assert read_page(html.encode(encoding), URL).pairs == []


@pytest.mark.parametrize(
    "attribute",
    [" a{}", "/a{}", ' a{}="b"', ' a{}=">"', " a{}\t=\n'>\"'", 'a{}=">"', " <a{}", ' a{}=\v"'],
)
@pytest.mark.parametrize("before", ["<b", "text <b", '<!-- <i x=" --><b', "<p title='<i y=\"'><b"])
def test_a_page_whose_tag_has_too_many_attributes_is_empty(before: str, attribute: str) -> None:
    many = "".join(attribute.format(i) for i in range(MAX_ATTRIBUTES + 1))
    assert read(f"<img src=a alt=x>{before} {many}>").pairs == []


def test_long_tags_of_few_attributes_are_read() -> None:
    images = f'<img alt="{"many words > " * 5_000}" src="data:image/png;base64,{"A/" * 9_000}">'
    lines = "".join(f"<a title=x b c=d e='f'>{'words ' * 50}" for _ in range(300))
    page = read(f"{lines}{images}<img src=a alt=x>")
    assert [pair.text for pair in page.pairs] == ["x"]


def test_attributes_are_counted_in_linear_time() -> None:
    start = time.process_time()
    assert read(("<p " * (MAX_ATTRIBUTES - 1) + ">") * (MAX_PAGE_BYTES // 3_000)).pairs == []
    assert time.process_time() - start < 5


def test_a_long_flat_page_is_read() -> None:
    assert len(read("<div><p>a<img src=a alt=x></div>" * 5_000).pairs) == 5_000
