import pytest

from diagonal_data.candidates.found import Found, ImageOutcome
from diagonal_data.candidates.page import Page, read_page
from diagonal_data.candidates.page_images import largest_in_srcsets

URL = "http://x.test/a/page.html"


def read(html: str, *, agent: str | None = None) -> Page:
    return read_page(html.encode(), URL, agent=agent)


def image(html: str) -> Found:
    (found,) = read(html).found
    return found


def texts(html: str) -> list[tuple[str, str]]:
    found = image(html)
    return list(zip(found.sources, found.texts, strict=True))


@pytest.mark.parametrize(
    ("attributes", "url"),
    [
        ('src="b.jpg"', "http://x.test/a/b.jpg"),
        ("src='/b.jpg'", "http://x.test/b.jpg"),
        ("src=//y.test/b.jpg", "http://y.test/b.jpg"),
        ('SRC=" b.jpg\n"', "http://x.test/a/b.jpg"),
        ('src="b.jpg?a=1&amp;b=2&copy=3"', "http://x.test/a/b.jpg?a=1&b=2&copy=3"),
        ('src="first.jpg" src="second.jpg"', "http://x.test/a/first.jpg"),
        ('src="data:image/gif;base64,AA" data-src="b.jpg"', "http://x.test/a/b.jpg"),
        ('src="grey.gif" data-original="b.jpg"', "http://x.test/a/b.jpg"),
        ('src="grey.gif" data-lazy-src="b.jpg"', "http://x.test/a/b.jpg"),
        ('src="s.jpg" data-src="m.jpg" srcset="l.jpg 2x"', "http://x.test/a/l.jpg"),
        ('srcset="data:image/gif,x 1w" data-srcset="l.jpg 1w"', "http://x.test/a/l.jpg"),
        ('srcset="data:image/gif,x 1w" src="b.jpg"', "http://x.test/a/b.jpg"),
        ('srcset="http://[ 2x" src="b.jpg"', "http://x.test/a/b.jpg"),
    ],
)
def test_the_image_url(attributes: str, url: str) -> None:
    assert image(f"<img {attributes} alt=x>").url == url


@pytest.mark.parametrize(
    ("attributes", "outcome"),
    [
        ("", ImageOutcome.NO_URL),
        ("src", ImageOutcome.NO_URL),
        ('src=""', ImageOutcome.NO_URL),
        ('src="data:image/gif,x"', ImageOutcome.DATA_URL),
        ('src="javascript:void(0)"', ImageOutcome.BAD_URL),
        ('src="ftp://x/a"', ImageOutcome.BAD_URL),
        ('src="http://["', ImageOutcome.BAD_URL),
    ],
)
def test_an_image_without_an_http_url_is_counted(attributes: str, outcome: str) -> None:
    page = read(f"<img {attributes} alt=x>")
    assert page.found == []
    assert page.images == {outcome: 1}


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
        ("a.jpg 1x,\n  b.jpg 3x,\n", "b.jpg"),
        (", ,", None),
        ("", None),
        ("a.jpg nonsense", "a.jpg"),
        ("data:image/gif,x 9w, a.jpg 1w", "a.jpg"),
    ],
)
def test_the_largest_of_a_srcset(srcset: str, largest: str | None) -> None:
    assert largest_in_srcsets([srcset]) == largest


@pytest.mark.parametrize(
    ("html", "url"),
    [
        ("<picture><source srcset='l.webp 900w'><img src=s.jpg alt=x></picture>", "l.webp"),
        ("<picture><source srcset='s.webp 90w'><img srcset='l.jpg 900w' alt=x></picture>", "l.jpg"),
        ("<picture><source srcset='l.webp 9w'></picture><img src=s.jpg alt=x>", "s.jpg"),
        ("<video><source srcset='l.webp 9w'></video><img src=s.jpg alt=x>", "s.jpg"),
    ],
)
def test_the_sources_of_a_picture_count_for_its_image(html: str, url: str) -> None:
    assert image(html).url == f"http://x.test/a/{url}"


@pytest.mark.parametrize(
    ("html", "url"),
    [
        ("<a href='full.JPG?v=1'><img src=s.jpg width=8 alt=x></a>", "full.JPG?v=1"),
        ("<a href='full.jpg'>text</a><img src=s.jpg alt=x>", "s.jpg"),
        ("<a href='page.html'><img src=s.jpg alt=x></a>", "s.jpg"),
        ("<a href='/wiki/File:Fox.jpg'><img src=s.jpg alt=x></a>", "s.jpg"),
        ("<a href='full.jpg'><b><i><img src=s.jpg alt=x>", "full.jpg"),
        ("<script>'<a href=full.jpg>'</script><img src=s.jpg alt=x>", "s.jpg"),
    ],
)
def test_a_link_to_the_full_size_is_preferred(html: str, url: str) -> None:
    assert image(html).url == f"http://x.test/a/{url}"


def test_the_size_of_a_thumbnail_is_not_that_of_the_full_size() -> None:
    found = image("<a href=full.jpg><img src=s.jpg width=8 height=9 alt=x></a>")
    assert (found.width_hint, found.height_hint) == (None, None)


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<img src=a alt="A &amp; B">', [("alt", "A & B")]),
        (
            "<figure><img src=a alt=x title=t><figcaption>y</figcaption></figure>",
            [("alt", "x"), ("figcaption", "y"), ("title", "t")],
        ),
        (
            "<figure><a><img src=a alt=' '></a><figcaption>y</figcaption></figure>",
            [("figcaption", "y")],
        ),
        (
            "<figure><figcaption>y</figcaption><img src=a></figure>",
            [("figcaption", "y")],
        ),
        (
            "<figure><figure><img src=a alt=i><figcaption>in</figcaption></figure>"
            "<figcaption>out</figcaption></figure>",
            [("alt", "i"), ("figcaption", "in")],
        ),
        ("<figure><img src=a title=t><figcaption> </figcaption></figure>", [("title", "t")]),
        ("<img src=a alt='' title=t aria-label=l>", [("title", "t"), ("aria-label", "l")]),
        ("<img src=a alt=same title=same>", [("alt", "same")]),
        ("<figcaption>z</figcaption><img src=a alt=x>", [("alt", "x")]),
        ("<IMG SRC=a ALT='it is > \"that\"'>", [("alt", 'it is > "that"')]),
        ('<img src=a alt="🦊 ثعلب">', [("alt", "🦊 ثعلب")]),
    ],
)
def test_all_texts_and_where_they_stood(html: str, expected: list[tuple[str, str]]) -> None:
    assert texts(html) == expected


@pytest.mark.parametrize("attributes", ["", "alt", "alt=''", 'alt=" &#32; "', "title='\n'"])
def test_an_image_without_text_is_counted(attributes: str) -> None:
    page = read(f"<img src=a {attributes}>")
    assert page.found == []
    assert page.images == {ImageOutcome.NO_TEXT: 1}


def test_a_figcaption_keeps_words_apart_and_formulas_together() -> None:
    html = (
        "<figure><img src=a><figcaption>H<sub>2</sub>O<br>and <b>ice</b>.<!-- no -->"
        "<script>no()</script></figcaption></figure>"
    )
    assert texts(html) == [("figcaption", "H2O and ice.")]


@pytest.mark.parametrize(
    ("declared", "pixels"),
    [("640", 640), (" 640px ", 640), ("100%", None), ("", None), ("12.5", None), ("٣", None)],
)
def test_size_hints(declared: str, pixels: int | None) -> None:
    found = image(f'<img src=a alt=x width="{declared}" height="{declared}">')
    assert (found.width_hint, found.height_hint) == (pixels, pixels)


def test_relative_urls_start_from_the_base_of_the_page() -> None:
    page = read('<img src=c.jpg alt=x><base target=_top><base href="/b/"><a href=d>d</a>')
    assert page.found[0].url == "http://x.test/b/c.jpg"
    assert page.links == ["http://x.test/b/d"]


@pytest.mark.parametrize("directive", ["noai", "noimageai", "none", "noindex", "NOINDEX, follow"])
def test_a_page_that_opted_out_gives_nothing(directive: str) -> None:
    page = read(f'<meta name="Robots" content="{directive}"><img src=a alt=x>')
    assert page.opted_out
    assert (page.found, page.images) == ([], {})


def test_a_meta_tag_for_another_robot_is_not_for_us() -> None:
    html = '<meta name="diagonal" content="noai"><img src=a alt=x>'
    assert read(html, agent="diagonal").opted_out
    assert not read(html, agent="other").opted_out


def test_a_meta_tag_in_a_comment_says_nothing() -> None:
    assert not read('<!-- <meta name="robots" content="noai"> --><img src=a alt=x>').opted_out


def test_open_graph_images_come_with_their_texts() -> None:
    page = read(
        '<meta property="og:image" content="/og.jpg"><meta property="og:image:alt" content="A fox">'
        '<meta property="og:image:width" content="1200"><meta property="og:image" content="/b.jpg">'
    )
    (found,) = page.found
    assert (found.url, found.texts, found.sources) == ("http://x.test/og.jpg", ["A fox"], ["og"])
    assert found.width_hint == 1200
    assert page.images == {ImageOutcome.FOUND: 1}


def test_an_image_that_is_named_twice_keeps_both_texts() -> None:
    found = image(
        '<meta property="og:image" content="/a.jpg"><meta property="og:image:alt" content="A fox">'
        "<img src=/a.jpg alt='Red fox'>"
    )
    assert (found.texts, found.sources) == (["Red fox", "A fox"], ["alt", "og"])


def test_image_objects_of_linked_data() -> None:
    found = image(
        '<script type="application/ld+json">{"@type": "Article", "image": [{"@type": "ImageObject",'
        '"contentUrl": "/l.jpg", "caption": "A fox", "license": "https://cc.test/by", "width": 800}'
        "]}</script>"
    )
    assert (found.url, found.texts, found.sources) == (
        "http://x.test/l.jpg",
        ["A fox"],
        ["json-ld"],
    )
    assert (found.licence, found.width_hint) == ("https://cc.test/by", 800)


@pytest.mark.parametrize("data", ["{", '"ImageObject"' + "[" * 100_000, "[1, null, {}]"])
def test_broken_linked_data_is_passed_over(data: str) -> None:
    html = f'<script type="application/ld+json">{data} "ImageObject"</script><img src=a alt=x>'
    assert len(read(html).found) == 1


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
        '<figure><img src=a alt=x><a rel="license" href="/by">CC BY</a></figure><img src=b alt=y>'
        '<link rel="license" href="/zero">'
    )
    assert [found.licence for found in page.found] == ["http://x.test/by", "http://x.test/zero"]


@pytest.mark.parametrize(
    ("links", "licence"),
    [
        (("by/4.0/",), "https://creativecommons.org/licenses/by/4.0/"),
        (("by/4.0/", "by-sa/4.0/"), None),
    ],
)
def test_the_only_deed_a_page_links_to_is_its_licence(
    links: tuple[str, ...], licence: str | None
) -> None:
    deeds = "".join(
        f'<a href="https://creativecommons.org/licenses/{deed}">CC</a>' for deed in links
    )
    assert image(f"<img src=a alt=x>{deeds}").licence == licence


def test_the_title_is_on_one_line() -> None:
    assert read("<title> Two\n words &lt;b&gt;</title>").title == "Two words <b>"
    assert read("<p>none</p>").title is None


def test_the_language_of_the_page() -> None:
    page = read('<!doctype html><html class="x" lang="en-GB"><img src=a alt=x>')
    assert page.found[0].page_lang == page.lang == "en-GB"
